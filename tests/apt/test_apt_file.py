"""apt-file finds the package of a file in what we publish."""

import shutil
from pathlib import Path

import pytest
from tests.worlds.apt import make_apt
from tests.worlds.archive import make_deb, signer
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
