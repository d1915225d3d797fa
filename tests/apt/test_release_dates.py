"""Dates of Release: apt stops to trust a state at its end, never goes back in time, and sees each publication as a new one."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.worlds.apt import Apt, make_apt
from tests.worlds.archive import DAY, signer
from tests.worlds.suite import OwnSuite, own_suite
from tests.worlds.transit import serving_tree


@pytest.fixture
def suite(tmp_path: Path) -> OwnSuite:
    """A suite that is a week valid, by this machine's clock: apt has no other."""
    suite = own_suite(tmp_path / "state")
    suite.context.clock = datetime.now(UTC)
    suite.fields = {"Valid-Days": "7"}
    return suite


def apt_for(suite: OwnSuite, folder: Path, *options: str) -> Apt:
    apt = make_apt(folder, f"copy:{suite.archive}", signer("petrel").certificate())
    apt.configure("\n".join(options))
    return apt


def complaints(apt: Apt) -> str:
    """Update; give what apt says, "" if all is well."""
    updated = apt.update()
    assert updated.exit_code == (100 if updated.complaints else 0)
    return "\n".join(updated.complaints)


@pytest.mark.parametrize(
    ("days_ago", "fields", "option", "words"),
    [
        (0, {}, "", ""),
        (400, {}, "", ""),
        (400, {}, 'Acquire::Max-ValidTime "86400";', "is expired"),
        (6, {"Valid-Days": "7"}, "", ""),
        (8, {"Valid-Days": "7"}, "", "is expired"),
        (6, {"Valid-Days": "7"}, 'Acquire::Max-ValidTime "86400";', "is expired"),
        (8, {"Valid-Days": "7"}, 'Acquire::Min-ValidTime "1209600";', ""),
        (6, {"Valid-Days": "7"}, 'Acquire::Max-ValidTime::Petrel "86400";', "is expired"),
        (8, {"Valid-Days": "7"}, 'Acquire::Check-Valid-Until "false";', ""),
        (-1, {}, "", "is not valid yet"),
        (-1, {}, 'Acquire::Max-FutureTime "90000";', ""),
    ],
)
def test_state_is_trusted_from_its_date_to_its_end(
    suite: OwnSuite, tmp_path: Path, days_ago: int, fields: dict[str, str], option: str, words: str
) -> None:
    suite.context.clock -= days_ago * DAY
    suite.fields = fields
    suite.publish(suite.version("1.0"))
    said = complaints(apt_for(suite, tmp_path / "apt", option))
    assert words in said if words else not said


def test_state_that_has_ended_is_trusted_again_when_it_is_published_anew(suite: OwnSuite, tmp_path: Path) -> None:
    suite.context.clock -= 8 * DAY
    revision = suite.version("1.0")
    suite.publish(revision)
    apt = apt_for(suite, tmp_path / "apt")
    assert "is expired" in complaints(apt)
    suite.context.clock += 8 * DAY
    suite.fields = {"Valid-Days": "30"}
    suite.publish(revision)
    assert (complaints(apt), apt.candidates()) == ("", ["hello 1.0", "world 1.0"])


@pytest.mark.parametrize("back", [timedelta(), timedelta(days=2)])
def test_clock_that_is_set_back_keeps_nothing_from_clients(suite: OwnSuite, tmp_path: Path, back: timedelta) -> None:
    """apt passes over a Release that is older than its own without a word, so Date never goes back."""
    suite.publish(suite.version("1.0"))
    apt = apt_for(suite, tmp_path / "apt")
    assert complaints(apt) == ""
    suite.context.clock -= back
    suite.publish(suite.version("2.0"))
    assert (complaints(apt), apt.candidates()) == ("", ["hello 2.0", "world 1.0"])


def test_older_release_of_a_mirror_that_lags_behind_is_passed_over(suite: OwnSuite, tmp_path: Path) -> None:
    suite.context.clock -= DAY
    suite.publish(suite.version("1.0"))
    link = suite.archive / "dists" / "devel"
    old = link.readlink()
    suite.context.clock += DAY
    suite.publish(suite.version("2.0"))
    apt = apt_for(suite, tmp_path / "apt")
    assert complaints(apt) == ""
    link.unlink()
    link.symlink_to(old)
    assert (complaints(apt), apt.candidates()) == ("", ["hello 2.0", "world 1.0"])


def test_return_to_an_earlier_state_is_new_to_clients(suite: OwnSuite, tmp_path: Path) -> None:
    apt = apt_for(suite, tmp_path / "apt")
    for version in ("1.0", "2.0", "1.0"):
        suite.publish(suite.version(version))
        assert (complaints(apt), apt.candidates()) == ("", [f"hello {version}", "world 1.0"])


def test_publications_of_one_second_are_several_to_a_web_server(suite: OwnSuite, tmp_path: Path) -> None:
    """Plain web servers compare times of files by the second: "not modified" would leave clients where they are."""
    with serving_tree(suite.context.paths.public) as tree:
        apt = make_apt(tmp_path / "apt", tree.url, signer("petrel").certificate())
        times = []
        for version in ("1.0", "2.0", "3.0"):
            suite.publish(suite.version(version))
            times.append(int((suite.archive / "dists/devel/InRelease").stat().st_mtime))
            assert (complaints(apt), apt.candidates()) == ("", [f"hello {version}", "world 1.0"])
        assert times[0] < times[1] < times[2]
        tree.asked()
        assert (complaints(apt), tree.asked()) == ("", ["dists/devel/InRelease"])
