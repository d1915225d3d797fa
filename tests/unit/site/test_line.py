"""The line at a glance: one row for each stage of each thing, always its newest job."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from tests.worlds.archive import DATE
from tests.worlds.installation import WorldContext, make_context

from distwright.jobs.order import JobOrder, place_order
from distwright.jobs.step import KindName
from distwright.model.digests import Json, sha256_of
from distwright.model.outcomes import JobState, Outcome
from distwright.site.line import line_rows, newest_finish
from distwright.site.readers import Viewer
from distwright.site.views import job_detail, jobs, line, overview, repo_refs, suites, uploads
from distwright.store.jobs import Finish, claim, finish_attempt

OURS: dict[str, Json] = {"archive": "petrel", "suite": "devel"}


@pytest.fixture
def context(tmp_path: Path) -> WorldContext:
    return make_context(tmp_path)


def order(
    context: WorldContext, kind: str, number: int = 0, ours: Mapping[str, Json] | None = None, **more: Json
) -> int:
    with context.database.write() as tx:
        placed = JobOrder(KindName(kind, 1), {**(ours or {}), **more, "number": number}, f"{kind} {number}")
        return place_order(tx, placed, context.clock).id


def work(context: WorldContext, seconds: int, outputs: dict[str, Json] | None = None) -> None:
    """Do the job whose turn it is."""
    with context.database.write() as tx:
        job = claim(tx, ["local"], "worker", context.clock, context.clock + timedelta(hours=1))
    assert job is not None
    context.clock += timedelta(seconds=seconds)
    with context.database.write() as tx:
        assert finish_attempt(tx, job.id, job.fence, Finish(Outcome.OK, "ok", outputs), context.clock)


def rows(context: WorldContext) -> list[tuple[str, int]]:
    with context.database.read() as tx:
        return [(row.stage, row.job.id) for row in line_rows(tx, context.paths)]


def test_an_empty_installation_has_no_line(context: WorldContext) -> None:
    assert rows(context) == []
    assert newest_finish([]) is None


def test_stages_stand_in_the_order_of_the_line_each_with_its_newest_job(context: WorldContext) -> None:
    boot = order(context, "image.boot", image="petrel")
    order(context, "archive.record", 1, archive="debian")
    newest = order(context, "archive.record", 2, archive="debian")
    assert rows(context) == [("record", newest), ("boot", boot)]


def test_each_thing_has_a_row_of_its_own(context: WorldContext) -> None:
    """Two packages of one suite, two suites of one archive: none hides the other."""
    numbers = [
        order(context, "archive.record", archive="debian"),
        order(context, "archive.record", archive="security"),
        order(context, "package.build", repo="a", source="a", ours=OURS),
        order(context, "package.build", repo="b", source="b", ours=OURS),
        order(context, "upload.accept", files={"a_1.0.dsc": sha256_of(b"a")}, ours=OURS),
        order(context, "upload.accept", files={"b_1.0.dsc": sha256_of(b"b")}, ours=OURS),
        order(context, "suite.publish", archive="petrel", suite="devel"),
        order(context, "suite.publish", archive="petrel", suite="next"),
        order(context, "suite.install", packages=["a"], ours=OURS),
        order(context, "suite.install", packages=["b"], ours=OURS),
        order(context, "image.build", image="petrel"),
        order(context, "image.build", image="skua"),
    ]
    assert [number for _, number in rows(context)] == numbers


def test_a_newer_version_takes_the_place_of_the_older(context: WorldContext) -> None:
    order(context, "package.build", 1, repo="a", source="a", ours=OURS)
    order(context, "upload.accept", 1, files={"a_1.0.dsc": sha256_of(b"a")}, ours=OURS)
    build = order(context, "package.build", 2, repo="a", source="a", ours=OURS)
    accept = order(context, "upload.accept", 2, files={"a_1.1.dsc": sha256_of(b"b")}, ours=OURS)
    assert rows(context) == [("build", build), ("accept", accept)]


def test_a_row_says_how_long_the_last_attempt_took_and_where_its_files_are(context: WorldContext) -> None:
    order(context, "archive.record", archive="debian")
    order(context, "suite.publish", ours=OURS)
    order(context, "image.build", image="petrel")
    work(context, 7)
    work(context, 2)
    work(context, 90, {"name": "petrel-1"})
    order(context, "image.boot", image="petrel")
    with context.database.read() as tx:
        table = line_rows(tx, context.paths)
    assert [(row.stage, row.seconds, row.files) for row in table] == [
        ("record", 7.0, str(context.paths.job_log(1, 1))),
        ("publish", 2.0, str(context.paths.public / "petrel" / "dists" / "devel")),
        ("image", 90.0, str(context.paths.public / "images" / "petrel-1")),
        ("boot", None, ""),
    ]
    assert newest_finish(table) == context.clock
    assert line(context.database, context.paths) == table


def test_the_views_of_an_empty_installation_are_empty(context: WorldContext) -> None:
    seen = overview(context.database, context.paths, Viewer(context.config))
    assert (seen.line, seen.waiting, seen.events, seen.snapshots, seen.suites, seen.live) == ([], [], [], [], [], {})
    assert (jobs(context.database, limit=5), suites(context.database), uploads(context.database, limit=5)) == (
        [],
        [],
        [],
    )
    assert repo_refs(context.paths, "nowhere") == {}


def test_a_job_is_shown_with_its_attempts_and_its_log(context: WorldContext) -> None:
    number = order(context, "archive.record", archive="debian")
    work(context, 3)
    seen = job_detail(context.database, context.paths, number)
    assert (seen.job.state, [attempt.fence for attempt in seen.attempts]) == (JobState.DONE, [1])
    assert seen.log == context.paths.job_log(number, 1)
    assert overview(context.database, context.paths, Viewer(context.config)).counts == {JobState.DONE: 1}
    assert context.clock > DATE
