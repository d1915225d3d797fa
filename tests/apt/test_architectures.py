"""Archives of several architectures: each client has the lists of its own, packages of `all` are in every one of them."""

from pathlib import Path

import pytest
from tests.worlds.apt import Apt, make_apt_of
from tests.worlds.archive import MadeDeb, MadeSource, make_deb, make_source
from tests.worlds.commands import CONFIG, CommandLine, command_line
from tests.worlds.transit import Tree, serving_tree

BOTH = CONFIG.replace(
    'label = "Petrel"\n',
    'label = "Petrel"\narchitectures = ["amd64", "i386"]\ncomponents = ["main", "contrib"]\n',
    1,
)
TOOL = make_deb("tool", architecture="i386", fields={"Multi-Arch": "foreign"})
LIBRARY = [make_deb("libapp", architecture=name, fields={"Multi-Arch": "same"}) for name in ("amd64", "i386")]
DATA, APP = make_deb("data", architecture="all"), make_deb("app", depends="tool, libapp, data")
SOURCE = make_source("app", binaries=("app",))
PACKAGES: tuple[MadeDeb | MadeSource, ...] = (TOOL, *LIBRARY, DATA, APP, SOURCE)
NATIVE, FOREIGN = ["app 1.0", "data 1.0", "libapp 1.0"], ["libapp 1.0", "tool 1.0"]


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    line = command_line(tmp_path, BOTH)
    line.publish("devel", *PACKAGES)
    return line


def apt_for(line: CommandLine, folder: Path, url: str = "", *, architectures: str = "amd64,i386") -> Apt:
    url = url or f"copy:{line.state}/public/petrel"
    apt = make_apt_of(folder, line.run("archive", "sources", "petrel", "devel", "--url", url).text)
    set_architectures(apt, architectures)
    return apt


def set_architectures(apt: Apt, names: str) -> None:
    listed = "".join(f'"{name}"; ' for name in names.split(","))
    apt.configure(f'#clear APT::Architectures;\nAPT::Architecture "{names.partition(",")[0]}";\n'
                  f"APT::Architectures {{ {listed}}};")  # fmt: skip


def complaints(apt: Apt) -> list[str]:
    updated = apt.update()
    assert updated.exit_code == 0
    return [" ".join(word for word in line.split() if "copy:" not in word) for line in updated.complaints]


def test_client_of_both_architectures_installs_across_them(line: CommandLine, tmp_path: Path) -> None:
    apt = apt_for(line, tmp_path / "apt")
    assert (complaints(apt), apt.candidates()) == ([], sorted(NATIVE + FOREIGN))
    assert apt.plan("install", "app", "libapp:i386") == [
        "app (1.0 Petrel:devel [amd64])",
        "data (1.0 Petrel:devel [all])",
        "libapp (1.0 Petrel:devel [amd64])",
        "libapp:i386 (1.0 Petrel:devel [i386])",
        "tool:i386 (1.0 Petrel:devel [i386])",
    ]
    assert apt.download("app", "libapp:i386", "data").complaints == []
    assert apt.here() == {deb.file_name: deb.content for deb in sorted((APP, DATA, LIBRARY[1]), key=_file_name)}


@pytest.mark.parametrize(
    ("architectures", "expected"), [("amd64", NATIVE), ("i386", ["data 1.0", *FOREIGN]), ("i386,amd64", None)]
)
def test_client_has_the_lists_of_its_architectures(
    line: CommandLine, tmp_path: Path, architectures: str, expected: list[str] | None
) -> None:
    apt = apt_for(line, tmp_path / "apt", architectures=architectures)
    assert (complaints(apt), apt.candidates()) == ([], expected or sorted(NATIVE + FOREIGN))


def test_architecture_that_the_archive_does_not_have_is_a_notice(line: CommandLine, tmp_path: Path) -> None:
    """Release names the architectures, so apt knows that this is no fault; `all` is none of them, it has no lists of its own."""
    apt = apt_for(line, tmp_path / "apt", architectures="amd64,arm64")
    shown = apt.run("apt-get", "-o", "quiet=0", "update")
    wanted = [part for part in shown.stderr.splitlines() if part.startswith(("N:", "W:", "E:"))]
    assert [(part[:2], part.rpartition("'")[0].rpartition("'")[2]) for part in wanted] == [("N:", "arm64")] * 2
    assert (shown.exit_code, apt.candidates()) == (0, NATIVE)
    release = (line.state / "public/petrel/dists/devel/Release").read_text()
    assert ("\nArchitectures: amd64 i386\n" in release, "binary-all" in release) == (True, False)


def test_architecture_that_a_client_adds_later_needs_no_new_release(line: CommandLine, tmp_path: Path) -> None:
    with serving_tree(line.state / "public") as tree:
        apt = apt_for(line, tmp_path / "apt", tree.url, architectures="amd64")
        assert (complaints(apt), apt.candidates()) == ([], NATIVE)
        tree.asked()
        set_architectures(apt, "amd64,i386")
        assert (complaints(apt), apt.candidates()) == ([], sorted(NATIVE + FOREIGN))
        assert folders(tree) == ["dists/devel", "dists/devel/main/binary-i386/by-hash/SHA256"]


def test_architecture_that_the_archive_gets_later_comes_with_all_that_is_for_all(tmp_path: Path) -> None:
    line = command_line(tmp_path)
    line.publish("devel", APP, DATA)
    apt = apt_for(line, tmp_path / "apt", architectures="i386")
    shown = apt.run("apt-get", "-o", "quiet=0", "update").stderr
    assert ("doesn't support architecture 'i386'" in shown, apt.candidates()) == (True, [])
    line.configure(BOTH)
    line.publish("devel")
    assert (complaints(apt), apt.candidates()) == ([], ["data 1.0"])


def test_one_file_of_descriptions_serves_all_architectures(line: CommandLine, tmp_path: Path) -> None:
    with serving_tree(line.state / "public") as tree:
        apt = apt_for(line, tmp_path / "apt", tree.url)
        apt.configure('#clear Acquire::Languages;\nAcquire::Languages { "en"; };')
        assert complaints(apt) == []
        assert [path for path in folders(tree) if "/i18n" in path] == ["dists/devel/main/i18n/by-hash/SHA256"]
        for name in ("app", "data", "tool:i386", "libapp:i386"):
            shown = apt.run("apt-cache", "show", name).stdout
            assert "\n It exists to be looked at.\n" in shown, name
        apt.configure('#clear Acquire::Languages;\nAcquire::Languages { "de"; "en"; };')
        assert complaints(apt) == []


def test_component_that_is_not_there_is_named_and_hurts_nobody(line: CommandLine, tmp_path: Path) -> None:
    apt = apt_for(line, tmp_path / "apt", architectures="amd64")
    sources = apt.folder / "etc/sources.list.d/petrel.sources"
    text = sources.read_text()
    assert "Components: main contrib\n" in text
    assert complaints(apt) == []
    sources.write_text(text.replace("Components: main contrib\n", "Components: main nonfree\n"))
    shown = apt.run("apt-get", "update")
    assert {line[:2] for line in shown.complaints} == {"W:"}
    assert all("doesn't have the component 'nonfree'" in line for line in shown.complaints)
    assert apt.candidates() == NATIVE


def test_suites_of_one_archive_have_one_package_with_one_file(line: CommandLine, tmp_path: Path) -> None:
    """The same package of base and topic is one version to apt, and comes once."""
    assert line.run("suite", "branch", "devel", "topic", "--kind", "base").exit_code == 0
    line.publish("topic", make_deb("app", "2.0"))
    with serving_tree(line.state / "public") as tree:
        apt = apt_for(line, tmp_path / "apt", tree.url, architectures="amd64")
        sources = apt.folder / "etc/sources.list.d/petrel.sources"
        sources.write_text(sources.read_text().replace("Suites: devel\n", "Suites: devel topic\n"))
        assert complaints(apt) == []
        table = apt.run("apt-cache", "policy", "data").stdout
        assert (table.count(" 1.0 500\n"), table.count("devel/main"), table.count("topic/main")) == (1, 1, 1)
        tree.asked()
        assert apt.download("data").complaints == []
        assert folders(tree) == ["pool/main/d/data"]
        assert apt.plan("install", "app") == ["app (2.0 Petrel:topic [amd64])"]


def test_sources_of_the_archive_can_be_built_from(line: CommandLine, tmp_path: Path) -> None:
    apt = apt_for(line, tmp_path / "apt")
    assert complaints(apt) == []
    shown = apt.run("apt-cache", "showsrc", "app").stdout
    for field in (
        "Package: app\n",
        "Binary: app\n",
        "Version: 1.0\n",
        "Directory: pool/main/a/app\n",
        "Checksums-Sha256:",
    ):
        assert field in shown
    wanted = apt.run("apt-get", "--simulate", "build-dep", "app").stdout
    assert "debhelper-compat (= 13)" in wanted


def folders(tree: Tree) -> list[str]:
    return sorted({path.rpartition("/")[0] for path in tree.asked()})


def _file_name(deb: MadeDeb) -> str:
    return deb.file_name
