"""States that older versions left are opened by the code of today: nothing is lost, all is served, work goes on."""

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from distwright.app import App, open_app
from distwright.archive.adding import add_packages
from distwright.archive.fsck import check_archive, check_objects
from distwright.archive.pinning import hold_pins
from distwright.archive.pins import pin_path
from distwright.archive.resolve import publish_request
from distwright.archive.retiring import Policy, retire_snapshots
from distwright.archive.suites import Who, packages_of, publish_suite, undo_change
from distwright.archive.tidying import tidy_suite
from distwright.errors import Busy
from distwright.model.outcomes import Outcome
from distwright.model.records import InquiryState
from distwright.repos.pushes import take_in_pushes
from distwright.site.branches import branch_lines
from distwright.site.endings import renew
from distwright.site.keys import own_archive
from distwright.site.views import (
    jobs,
    repo_refs,
    serial_holds,
    snapshots,
    suite_named,
    suite_revisions,
    suites,
    uploads,
)
from distwright.store.archives import list_publications
from distwright.store.embargoes import list_private_names
from distwright.store.findings import list_findings
from distwright.store.hosts import find_host
from distwright.store.inquiries import list_inquiries
from distwright.store.moving import move_database
from distwright.store.paths import StatePaths
from distwright.store.trials import list_trials
from tests.states.keep import FOLDER, PRIVATE, fill
from tests.worlds.archive import make_deb
from tests.worlds.client import see_suite
from tests.worlds.installation import close_worlds
from tests.worlds.postgres import PostgresCluster
from tests.worlds.repos import commit

NOW = "today"
MOVED = "today, on PostgreSQL"
WITHOUT_ANSWERS = ("v0.1.0", "v0.2.0")  # nothing was asked about packages yet
WITHOUT_HOSTS = (*WITHOUT_ANSWERS, "v0.3.0")
WITHOUT_EMBARGO = (*WITHOUT_HOSTS, "v0.4.0")  # nothing was private yet, and no host had said how it is
KEPT = sorted(path.name.removesuffix(".tar.xz") for path in FOLDER.glob("v*.tar.xz"))


@pytest.fixture(params=[*KEPT, NOW, MOVED])
def version(request: pytest.FixtureRequest) -> str:
    """Say which version left a state."""
    return str(request.param)


@pytest.fixture
def app(version: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[App]:
    """Open a state, as a command of today does."""
    if version in (NOW, MOVED):
        fill(tmp_path / "state")
        close_worlds()
        if version == MOVED:
            cluster: PostgresCluster = request.getfixturevalue("postgres")
            move_database(StatePaths(tmp_path / "state"), cluster.new_database(), lambda *_told: None)
    else:
        subprocess.run(["tar", "-C", tmp_path, "-xJf", FOLDER / f"{version}.tar.xz"], check=True)
    app = open_app(str(tmp_path / "state"))
    yield app
    app.database.close()


def packages(app: App, suite: str) -> list[str]:
    row = suite_named(app.database, suite)
    found = {f"{name} {version}" for kind, name, version in packages_of(app.objects, row) if "/binary-" in kind}
    return sorted(found)


def test_everything_that_was_there_is_there(app: App) -> None:
    assert {f"{row.archive}/{row.name}" for row, _ in suites(app.database)} >= {"petrel/devel", "petrel/topic"}
    assert packages(app, "devel") == ["greeter 1.1"]
    assert [row.archive for row in snapshots(app.database)] == ["debian", "petrel"]
    assert [(row.source, row.version, row.is_accepted) for row in uploads(app.database, limit=10)] == [
        ("greeter", "1.1", True), ("greeter", "1.0", True),
    ]  # fmt: skip
    assert [job.kind for job in jobs(app.database, limit=10)] == ["upload.accept"] * 2
    assert set(repo_refs(app.paths, "greeter")) == {"refs/heads/main", "refs/tags/1.0"}
    devel = suite_named(app.database, "devel")
    assert [row.action for row in suite_revisions(app.database, devel, 10)] == ["upload", "upload"]
    assert app.config().archives.keys() >= {"debian", "petrel"}


def test_what_was_replaced_is_known_to_be_so_since_its_successor_was_made(app: App) -> None:
    with app.database.read() as tx:
        rows = list_publications(tx, archive="petrel", suite="devel")
    [old], [live] = ([row for row in rows if (row.state, row.serial) == (state, "")] for state in ("retired", "live"))
    assert (old.retired_at, live.retired_at) == (live.at, None)


def test_everything_is_intact_and_served(app: App) -> None:
    assert list(check_objects(app.command_context())) == []
    assert list(check_archive(app.command_context(), "petrel")) == []
    certificate = app.keys.certificate(own_archive(app.config(), "petrel").key.credential)
    assert see_suite(app.paths.public / "petrel", "devel", certificate).packages == ["greeter 1.1"]
    [serial] = [row.serial for row in snapshots(app.database, "petrel")]
    frozen = app.paths.public / "petrel" / "snapshots" / serial
    assert see_suite(frozen, "devel", certificate).packages == ["greeter 1.1"]


def test_work_goes_on(app: App, tmp_path: Path) -> None:
    (tmp_path / "new.deb").write_bytes(make_deb("new").content)
    context = app.command_context()
    add_packages(context, "petrel", "devel", [str(tmp_path / "new.deb")], link=False, actor="user tester", reason="")
    assert packages(app, "devel") == ["greeter 1.1", "new 1.0"]
    publish_suite(context, publish_request(app.config(), suite_named(app.database, "devel")))
    certificate = app.keys.certificate(own_archive(app.config(), "petrel").key.credential)
    assert see_suite(app.paths.public / "petrel", "devel", certificate).packages == ["greeter 1.1", "new 1.0"]
    for expected in (["greeter 1.1"], ["greeter 1.0"]):
        undo_change(context, "petrel", "devel", Who("user tester"), dry_run=False)
        assert packages(app, "devel") == expected


def test_what_is_needed_is_known_and_what_ends_is_looked_at(app: App) -> None:
    """Holds of refs, and rows of exceptions, are younger than the first version."""
    context = app.command_context()
    [serial] = [row.serial for row in snapshots(app.database, "debian")]
    commit(app.paths, "greeter", {pin_path("debian"): f"{serial}\n"}, branch="stable")
    assert hold_pins(context) == 1
    assert [hold.target for hold in serial_holds(app.database, "debian", app.now())] == [f"debian/{serial}"]
    judged = retire_snapshots(context, "debian", Policy(keep_days=1), really=True)
    assert [(one.row.serial, one.stays) for one in judged] == [(serial, True)]
    assert {ending.subject for ending in renew(context)} <= {f"snapshot debian/{serial}"}
    assert tidy_suite(context, "petrel", "devel", "user ada") == []


def test_branches_that_were_there_have_their_suites_at_the_first_look(app: App) -> None:
    """An older version knew pushes, and no suites of branches; the overlay `topic` was made by hand."""
    for branch in ("topic", "feature/x", "wip/x"):
        commit(app.paths, "greeter", {"README": branch}, branch=branch)
    take_in_pushes(app.database, app.paths, ["greeter"], app.now())  # as it was recorded then
    app.take_in()
    lines = {line.branch: line.suite for line in branch_lines(app.database, app.paths, app.config(), "greeter")}
    assert lines == {"main": "petrel/devel", "topic": "petrel/topic", "feature/x": "petrel/feature-x", "wip/x": ""}
    [made] = [row for row, _ in suites(app.database) if row.name == "feature-x"]
    assert (made.kind, made.parent) == ("overlay", "devel")
    assert "1.0" not in {row.name for row, _ in suites(app.database)}, "a tag of a package has none"


def test_what_was_found_out_is_known(app: App, version: str) -> None:
    with app.database.read() as tx:
        found = [(row.kind, row.subject, row.key, row.evidence["message"]) for row in list_findings(tx)]
        trials = [(row.subject, row.version, row.outcome, row.message) for row in list_trials(tx, "builds")]
        asked = [(row.kind, row.actor, row.state) for row in list_inquiries(tx)]
    if version in WITHOUT_ANSWERS:
        assert (found, trials, asked) == ([], [], [])
        return
    why = "build: greeter.c:1: error: no"
    assert found == [("fails-to-build", "greeter", "devel", why)]
    assert trials == [("greeter", "1.1", Outcome.FAILED, why)]
    assert asked == [("sweep", "user keeper", InquiryState.OPEN)]


def test_what_is_private_stays_so_and_hosts_are_known(app: App, version: str) -> None:
    with app.database.read() as tx:
        private, host = list_private_names(tx), find_host(tx, "pear")
    assert private == (frozenset() if version in WITHOUT_EMBARGO else {PRIVATE})
    assert (host is not None) is (version not in WITHOUT_HOSTS)
    if host is not None:
        assert (host.health is not None) is (version not in WITHOUT_EMBARGO)


def test_a_state_in_which_an_older_version_runs_jobs_is_left_alone(tmp_path: Path) -> None:
    subprocess.run(
        ["tar", "--extract", "--file", str(FOLDER / "v0.3.0.tar.xz"), "--directory", str(tmp_path)], check=True
    )
    state = tmp_path / "state"
    with closing(sqlite3.connect(state / "db.sqlite")) as database:
        for until, refused in (("9999-01-01T00:00:00.000000Z", True), ("2020-01-01T00:00:00.000000Z", False)):
            database.execute("UPDATE jobs SET state = 'running', lease_until = ?", (until,))
            database.commit()
            if refused:
                with pytest.raises(Busy, match="an older version"):
                    open_app(str(state))
                assert database.execute("SELECT version_num FROM alembic_version").fetchall() == [("0004",)]
    open_app(str(state)).database.close()
