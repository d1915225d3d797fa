"""apt-file finds the package of a file in what we publish, and in what we recorded."""

import shutil
from pathlib import Path

import pytest
from tests.worlds.apt import make_apt
from tests.worlds.archive import DATE, DAY, Upstream, make_deb, signer
from tests.worlds.recorded import apt_of, recorded_archive
from tests.worlds.suite import own_suite


@pytest.mark.parametrize("count", [0, 300])
def test_apt_file_finds_the_package_of_a_file(tmp_path: Path, count: int) -> None:
    """count: other packages; with many the Contents file is joined from several pieces."""
    suite = own_suite(tmp_path / "state")
    suite.contents = True
    others = [
        make_deb(f"o{at:03d}", content={f"usr/share/o/{at}-{file}": "" for file in range(20)}) for at in range(count)
    ]
    tool = make_deb("tool", content={"usr/bin/tool": "", "usr/share/doc/tool/copyright": ""}, section="admin")
    data = make_deb("tool-common", content={"usr/share/tool/x y": ""}, architecture="all")
    suite.publish(suite.hold(tool, data, *others))
    apt = make_apt(tmp_path / "apt", f"copy:{suite.archive}", signer("petrel").certificate())
    shutil.copy("/etc/apt/apt.conf.d/50apt-file.conf", apt.folder / "etc" / "apt.conf.d")
    updated = apt.update()
    assert (updated.exit_code, updated.complaints) == (0, [])
    found = apt.run("apt-file", "search", "--fixed-string", "/usr/bin/tool")
    assert (found.exit_code, found.stdout) == (0, "tool: /usr/bin/tool\n")
    assert apt.run("apt-file", "list", "tool-common").stdout == "tool-common: /usr/share/tool/x y\n"
    assert len(apt.run("apt-file", "search", "usr/share/o/").stdout.splitlines()) == count * 20


@pytest.mark.parametrize("has_contents", [False, True])
def test_apt_file_reads_a_recorded_archive_whether_contents_were_recorded_or_not(
    tmp_path: Path, *, has_contents: bool
) -> None:
    """What upstream signed and the record left out comes when apt asks for it, and stays when upstream moves on."""
    upstream = Upstream()
    upstream.add(make_deb("tool"))
    upstream.add_indexes("stable", {"main/Contents-amd64": b"usr/bin/tool admin/tool\n", "main/Contents-all": b""})
    upstream.publish(DATE)
    archive = recorded_archive(tmp_path / "state", upstream)
    serial = archive.record(has_contents=has_contents).row.serial
    with archive.served() as url:
        for number, state in enumerate(("now", "moved on", "gone")):
            apt = apt_of(tmp_path / f"apt{number}", f"{url}/{serial}", "upstream")
            shutil.copy("/etc/apt/apt.conf.d/50apt-file.conf", apt.folder / "etc" / "apt.conf.d")
            updated = apt.update()
            assert (updated.exit_code, updated.complaints) == (0, []), state
            found = apt.run("apt-file", "search", "--fixed-string", "/usr/bin/tool")
            assert (found.exit_code, found.stdout) == (0, "tool: /usr/bin/tool\n")
            if state == "now":
                upstream.add_indexes("stable", {"main/Contents-amd64": b"usr/bin/tool2 admin/tool\n"})
                upstream.publish(DATE + DAY)
                upstream.forget("/by-hash/")
            else:
                archive.cut_off()


def test_apt_says_that_upstream_has_moved_on(tmp_path: Path) -> None:
    upstream = Upstream()
    upstream.add(make_deb("tool"))
    upstream.add_indexes("stable", {"main/Contents-amd64": b"usr/bin/tool admin/tool\n"})
    upstream.publish(DATE)
    archive = recorded_archive(tmp_path / "state", upstream)
    archive.record()
    upstream.forget("Contents-")
    upstream.forget("/by-hash/")
    with archive.served() as url:
        apt = apt_of(tmp_path / "apt", url, "upstream")
        assert apt.update().complaints == []
        assert apt.candidates() == ["tool 1.0"]
        shutil.copy("/etc/apt/apt.conf.d/50apt-file.conf", apt.folder / "etc" / "apt.conf.d")
        assert any("404" in line for line in apt.update().complaints)
