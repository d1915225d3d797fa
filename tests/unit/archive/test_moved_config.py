"""Tables for an archive that moves in: what clients know it by stays, as far as a configuration can say it."""

from collections.abc import Mapping

import pytest
from tests.worlds.installation import CONFIG

from distwright.archive.moved_config import configuration
from distwright.archive.theirs import TheirArchive, TheirSuite
from distwright.config.load import parse_config
from distwright.config.tables_archive import Suite


def suites(fields: Mapping[str, Mapping[str, str]], names: Mapping[str, str]) -> tuple[str, Mapping[str, Suite]]:
    """Give the text for suites of theirs, and what it says when it is in force."""
    theirs = TheirArchive(tuple(TheirSuite(name, ("main",), ("amd64",), list, said) for name, said in fields.items()))
    text = configuration("ours", None, theirs, names, ["main"], ["amd64"])
    return text, parse_config([("a.toml", CONFIG), ("b.toml", text)]).suites


SID = {"Origin": "Theirs", "Codename": "sid", "Suite": "unstable", "Version": "13.1"}


def test_suite_that_is_called_by_its_suite_keeps_its_codename() -> None:
    text, found = suites({"sid": SID}, {"sid": "unstable"})
    assert (found["unstable"].codename, found["unstable"].version, "#" in text) == ("sid", "13.1", False)


def test_suite_that_is_called_by_its_codename_says_how_to_keep_both() -> None:
    text, found = suites({"sid": SID}, {})
    assert found["sid"].codename is None
    assert '# Suite was "unstable"; to keep that and the codename: --suite sid=unstable\n' in text


@pytest.mark.parametrize("codename", ["bookworm/updates", "unstable", "other", ""])
def test_codename_that_cannot_be_one_here_is_left_out(codename: str) -> None:
    _, found = suites({"sid": {**SID, "Codename": codename}, "other": {}}, {"sid": "unstable"})
    assert found["unstable"].codename is None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"NotAutomatic": "yes", "ButAutomaticUpgrades": "yes"}, (True, True)),
        ({"NotAutomatic": "yes"}, (True, False)),
        ({"ButAutomaticUpgrades": "yes"}, (False, False)),
    ],
)
def test_suite_weighs_what_it_weighed(fields: Mapping[str, str], expected: tuple[bool, bool]) -> None:
    _, found = suites({"sid": fields}, {})
    assert (found["sid"].not_automatic, found["sid"].but_automatic_upgrades) == expected
