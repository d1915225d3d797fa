"""A real apt reads the .sources text that the command line prints: for the suite, and for a snapshot of it."""

from pathlib import Path

import pytest
from tests.worlds.apt import make_apt_of
from tests.worlds.archive import make_deb
from tests.worlds.commands import CommandLine, command_line


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    """Version 1.0 is in snapshot 2030010101, 2.0 in the suite."""
    line = command_line(tmp_path)
    line.run("suite", "add", "devel", line.files(make_deb("hello", "1.0")), "--publish")
    assert line.run("snapshot", "take", "petrel", "--serial", "2030010101", "--publish").exit_code == 0
    assert line.run("suite", "add", "devel", line.files(make_deb("hello", "2.0")), "--publish").exit_code == 0
    return line


@pytest.mark.parametrize(
    ("more", "candidates"),
    [((), ["hello 2.0"]), (("--serial", "2030010101"), ["hello 1.0"])],
    ids=["suite", "snapshot"],
)
def test_apt_reads_the_printed_sources_without_a_warning(
    line: CommandLine, tmp_path: Path, more: tuple[str, ...], candidates: list[str]
) -> None:
    url = f"copy:{line.state}/public/petrel"
    apt = make_apt_of(tmp_path / "apt", line.run("archive", "sources", "petrel", "devel", "--url", url, *more).text)
    updated = apt.update()
    assert (updated.exit_code, updated.complaints) == (0, [])
    assert apt.candidates() == candidates
    assert apt.download("hello").exit_code == 0
    assert apt.here() == {f"hello_{candidates[0][6:]}_amd64.deb": make_deb("hello", candidates[0][6:]).content}
