"""The rebuild check on Debian itself: every circumstance really is another, what differs is named, and diffoscope explains it."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.system.line import Line, keep_in_cache, state_folder
from tests.worlds.commands import command_line
from tests.worlds.repos import commit
from tests.worlds.telltale import TELLS, once, telltale

from distwright.checks.findings import NOT_REPRODUCIBLE
from distwright.checks.variations import Variation
from distwright.store.database import Database
from distwright.store.events import newest_events
from distwright.store.findings import list_findings
from distwright.store.paths import StatePaths

pytestmark = pytest.mark.system

CONFIG = """\
format = 1
[site]
name = "Petrel"
[archive.debian]
kind = "upstream"
suites = ["bookworm"]
keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
origin = "Debian"
label = "Debian"
[archive.petrel]
kind = "own"
origin = "Petrel"
label = "Petrel"
key = { credential = "petrel" }
[suite.devel]
archive = "petrel"
[environment.build]
from = ["debian/bookworm"]
include = ["diffoscope-minimal", "fakeroot"]
checkers = "build"
[repo.tell]
package = true
suite = "devel"
environment = "build"
[repo.once]
package = true
suite = "devel"
environment = "build"
rebuild = false
"""
TIMEOUT_S = 900


@dataclass(frozen=True)
class Told:
    """A state in which the package that tells was built, and all that follows has happened. said: what the build printed."""

    line: Line
    build: int
    said: str

    def job_of(self, kind: str) -> int:
        """Give the number of the newest job of a kind."""
        rows = self.line.answer("job", "list")
        return int(next(row["job"] for row in rows if row["kind"] == kind))


@pytest.fixture(scope="module")
def told() -> Iterator[Told]:
    """Record Debian, build the package that tells, and let follow what follows."""
    with state_folder() as folder:
        command_line(folder, CONFIG, keys=("petrel", "builder"))
        line = Line(folder / "state")
        paths = StatePaths(line.state)
        commit(paths, "tell", telltale(), tag="1.0")
        recorded = line.call("archive", "record", "debian", "--state", str(line.state), timeout_s=TIMEOUT_S)
        assert recorded.returncode == 0, recorded.stderr
        done = line.call("package", "build", "tell", "--tag", "1.0", "--state", str(line.state), timeout_s=TIMEOUT_S)
        assert done.returncode == 0, done.stderr
        assert "distwright worker --until-idle" in done.stderr, "nobody waits for what else follows"
        after = line.call("worker", "--until-idle", "--state", str(line.state), timeout_s=TIMEOUT_S)
        assert after.returncode == 0, after.stderr
        builds = [row["job"] for row in line.answer("job", "list") if row["kind"] == "package.build"]
        yield Told(line, builds[0], done.stderr)
        keep_in_cache(line.state)


@pytest.fixture(scope="module")
def rebuilt(told: Told) -> dict[str, object]:
    """Ask for the rebuild, which the flow has ordered already."""
    done = told.line.call("package", "rebuild", "tell", "--tag", "1.0", "--json", "--state", str(told.line.state))
    assert done.returncode == 1, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def test_every_circumstance_was_another_and_each_difference_is_named(told: Told, rebuilt: dict[str, object]) -> None:
    job = told.line.answer("job", "show", str(rebuilt["job"]))
    variation = Variation.from_json(job["inputs"]["variation"])
    differences = rebuilt["differences"]
    assert isinstance(differences, list)
    causes = {}
    for text in differences:
        where, _, what = text.partition(": ")[2].partition(": ")
        assert text.startswith("tell_1.0_all.deb: data.tar usr/share/tell/"), text
        causes[where.rpartition("/")[2]] = what.partition("; ")[2]
    expected = {
        "clock": "a date or a time (the clock",
        "day": "a date or a time (the clock",
        "home": f"HOME ({variation.home})",
        "hostname": f"the host name ({variation.hostname})",
        "locale": f"the locale ({variation.locale})",
        "mode": "the umask: 0002 leaves what 0022 takes",
        "nproc": "a number that is the count of CPUs in the second build (1)",
        "path": f"the build path ({variation.build_path})",
        "sorted": "the same lines in another order, the first one sorted by bytes",
        "timezone": f"the time zone ({variation.timezone_name})",
        "uid": f"the number of the user who builds ({variation.uid})",
        "umask": "the umask (0002)",
        "user": f"the name of the user who builds ({variation.user})",
    }
    if (os.cpu_count() or 1) == 1:
        del expected["nproc"]  # there is no other count than one
    assert sorted(causes) == sorted(expected)
    assert {name: cause for name, cause in causes.items() if not cause.startswith(expected[name])} == {}
    assert set(expected) - {"mode"} <= set(TELLS)


def test_the_verdict_is_an_event_and_a_finding(told: Told, rebuilt: dict[str, object]) -> None:
    database = Database(StatePaths(told.line.state).database_url)
    with database.read() as tx:
        events = [row.event for row in newest_events(tx, 100) if row.event.kind == "build.compared"]
        [finding] = list_findings(tx, kind=NOT_REPRODUCIBLE)
    database.close()
    assert [event.body["verdict"] for event in events] == ["differs"]
    assert rebuilt["verdict"] == "differs"
    assert (finding.subject, finding.evidence["message"]) == ("tell", rebuilt["message"].partition(": ")[2])  # type: ignore[attr-defined]


def test_what_tells_nothing_came_out_the_same_and_only_the_rest_is_kept(told: Told, rebuilt: dict[str, object]) -> None:
    job = told.line.answer("job", "show", str(rebuilt["job"]))
    assert list(job["outputs"]["pairs"]) == ["tell_1.0_all.deb"]
    done = told.line.call(
        "package", "compare", str(told.build), str(rebuilt["job"]), "--json", "--state", str(told.line.state)
    )
    assert done.returncode == 1, done.stderr
    packages = {one["second"]["file"]: one for one in json.loads(done.stdout)["packages"]}
    assert {name: one["same"] for name, one in packages.items()} == {
        "tell_1.0_all.deb": False,
        "tell-quiet_1.0_all.deb": True,
        "tell_1.0.dsc": True,
    }
    differs = packages["tell_1.0_all.deb"]["changed"]
    changed = {one["path"].rpartition("/")[2]: sorted(set(one) - {"path"}) for one in differs}
    assert changed["mode"] == ["mode"]
    assert changed["hostname"] in (["content"], ["size"])


def test_diffoscope_has_explained_it(told: Told, rebuilt: dict[str, object]) -> None:
    job = told.line.answer("job", "show", str(told.job_of("package.explain")))
    assert job["outcome"] == "ok", job["message"]
    explained = str(rebuilt["explained"])
    assert "usr/share/tell/hostname" in explained
    assert "-sbuild\n" in explained
    shown = told.line.call(
        "package", "compare", str(told.build), str(rebuilt["job"]), "--explain", "--state", str(told.line.state)
    )
    assert "usr/share/tell/hostname" in shown.stdout
    assert told.job_of("package.explain") == job["job"], "it was known"


@pytest.mark.full
def test_a_rebuild_that_fails_says_nothing_about_the_package(told: Told) -> None:
    state = ("--state", str(told.line.state))
    commit(StatePaths(told.line.state), "once", once(), tag="1.0")
    built = told.line.call("package", "build", "once", "--tag", "1.0", *state, timeout_s=TIMEOUT_S)
    assert built.returncode == 0, built.stderr
    assert "rebuild once" not in built.stderr, "its repo says that it is not"
    done = told.line.call("package", "rebuild", "once", "--tag", "1.0", "--json", *state, timeout_s=TIMEOUT_S)
    assert done.returncode == 1, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["verdict"], answer["differences"]) == ("unknown", [])
    assert "rebuild" in answer["message"]
    database = Database(StatePaths(told.line.state).database_url)
    with database.read() as tx:
        assert [row.subject for row in list_findings(tx, kind=NOT_REPRODUCIBLE)] == ["tell"]
    database.close()
