"""Names that need care on the way: epochs, tildes and plus signs, long ones, and ones that a plain server must not mistake."""

from pathlib import Path

import pytest
from tests.worlds.apt import make_apt_of
from tests.worlds.archive import MadeDeb, make_deb, make_source
from tests.worlds.commands import CommandLine, command_line
from tests.worlds.transit import serving_tree

LONG = "package-of-a-long-name-" + "x" * 90
VERSION = "1:2.0+dfsg~rc1-1~deb13u1+b2"
PACKAGES = (
    make_deb("libstdc++-plus", VERSION, source="gcc-plus"),
    make_deb(LONG, "1.0"),
    make_deb("odd", "1.0", content={f"usr/share/odd/{'deep/' * 30}{'y' * 90}": "text"}),
    make_deb("plain-data", "1.0", data=("data.tar", bytes(10240))),
)
SOURCE = make_source("gcc-plus", VERSION, binaries=("libstdc++-plus",))


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    line = command_line(tmp_path)
    line.publish("devel", *PACKAGES, SOURCE)
    return line


def test_apt_fetches_what_has_unusual_names_by_http(line: CommandLine, tmp_path: Path) -> None:
    with serving_tree(line.state / "public") as tree:
        sources = line.run("archive", "sources", "petrel", "devel", "--url", tree.url).text
        apt = make_apt_of(tmp_path / "apt", sources)
        updated = apt.update()
        assert (updated.exit_code, updated.complaints) == (0, [])
        assert apt.candidates() == sorted(f"{deb.name} {deb.version}" for deb in PACKAGES)
        for deb in PACKAGES:
            assert apt.download(deb.name).complaints == []
        fetched = apt.run("apt-get", "source", "--download-only", "gcc-plus")
        assert (fetched.exit_code, fetched.complaints) == (0, [])
    assert sorted(apt.here().values()) == sorted([*(deb.content for deb in PACKAGES), *SOURCE.files.values()])


@pytest.mark.parametrize(
    ("package", "problem"),
    [
        (make_deb("Hello"), "'Hello' is not a package name"),
        (make_deb("hello", fields={"Version": None}), "lacks the field Version"),
        (make_deb("hello", fields={"Architecture": None}), "lacks the field Architecture"),
        (make_deb("hello", "1.0-"), "1.0-"),
    ],
    ids=["upper case", "no version", "no architecture", "no revision"],
)
def test_what_apt_would_stumble_over_does_not_get_in(line: CommandLine, package: MadeDeb, problem: str) -> None:
    """apt skips such stanzas, takes them for another package, or stops: so no index of ours has them."""
    refused = line.run("suite", "add", "devel", line.files(package))
    assert refused.exit_code == 3
    assert problem in refused.said
