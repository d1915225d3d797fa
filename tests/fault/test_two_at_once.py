"""Two of everything at once, as a server and a command are: nothing is done twice, and one state comes out."""

import os
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest
from tests.system.line import state_folder
from tests.worlds.installation import config, make_context
from tests.worlds.keys import key_file
from tests.worlds.state import count_order, placed
from tests.worlds.suite import OwnSuite, own_suite
from tests.worlds.work import Workshop, ended, kind_of, start_worker, step, workshop

from distwright.archive.kinds import PUBLISH
from distwright.archive.resolve import publish_order
from distwright.errors import Interrupted
from distwright.jobs.step import Action, Context, Earlier, Inputs, JobKind, StepResult
from distwright.model.digests import sha256_of
from distwright.model.events import EventKind
from distwright.model.outcomes import JobState, Outcome
from distwright.store.jobs import attempts_of, list_jobs
from distwright.store.objects import FileObjects
from distwright.tools.sandbox import sandbox_for
from distwright.worker.turns import turn_of

pytestmark = pytest.mark.system

JOBS = 40
REVISIONS = 8


@pytest.fixture
def shop() -> Iterator[Workshop]:
    with state_folder() as folder:
        shop = workshop(folder / "state", sandbox_for(os.geteuid()))
        yield shop
        shop.database.close()


@pytest.fixture
def suite() -> Iterator[OwnSuite]:
    with state_folder() as folder:
        suite = own_suite(folder, context=make_context(folder))
        key = suite.context.paths.key("petrel")
        key.write_bytes(key_file("petrel"))
        key.chmod(0o600)
        yield suite


def noting(shop: Workshop) -> JobKind:
    """A kind whose action notes its job; a line in a file of its own for each time it runs."""

    def perform(context: Context, inputs: Inputs, _earlier: Earlier) -> StepResult:
        with (shop.paths.root / f"done-{inputs['number']}").open("a") as file:
            file.write("done\n")
        return StepResult({"out": context.objects.put(str(inputs["number"]).encode())})

    return kind_of(Action("note", perform))


def test_two_workers_of_one_job_table_do_every_job_once(shop: Workshop) -> None:
    for number in range(JOBS):
        placed(shop.database, count_order(number))
    workers = [start_worker(shop, noting(shop), jobs=JOBS) for _ in range(2)]
    assert [ended(worker) for worker in workers] == [0, 0]
    with shop.database.read() as tx:
        jobs = list_jobs(tx, limit=JOBS + 1)
        attempts = [attempts_of(tx, job.id) for job in jobs]
    assert [(job.state, job.outcome) for job in jobs] == [(JobState.DONE, Outcome.OK)] * JOBS
    assert [len(one) for one in attempts] == [1] * JOBS
    done = {path.name: path.read_text() for path in shop.paths.root.glob("done-*")}
    assert done == {f"done-{number}": "done\n" for number in range(JOBS)}
    holders = Counter(one.holder for [one] in attempts)
    assert len(holders) == 2, "the test is about two workers: one did everything"
    assert list(shop.paths.work.iterdir()) == []


def test_what_two_jobs_need_alike_is_made_once_and_the_second_waits_for_it(shop: Workshop) -> None:
    for number in range(2):
        placed(shop.database, count_order(number))
    kind = kind_of(step("sleep 2; date +%N >out", name="make", collect={"out": "out"}))
    workers = [start_worker(shop, kind) for _ in range(2)]
    assert [ended(worker) for worker in workers] == [0, 0]
    with shop.database.read() as tx:
        jobs = list_jobs(tx, limit=3)
    assert len({str(job.outputs) for job in jobs}) == 1, "both have what one made"
    logs = [shop.paths.job_log(job.id, 1).read_text() for job in jobs]
    assert sorted("is known already" in log for log in logs) == [False, True]
    assert list((shop.paths.root / "run" / "turns").iterdir()) == []


def test_who_waits_for_another_job_can_be_cancelled(shop: Workshop) -> None:
    key = sha256_of(b"what two need")
    looks = []

    def look() -> None:
        looks.append(1)
        if len(looks) == 2:
            raise Interrupted("cancelled", hint="distwright job list")

    with turn_of(shop.paths.root, key, lambda: None), pytest.raises(Interrupted), turn_of(shop.paths.root, key, look):
        pass
    with turn_of(shop.paths.root, key, look):
        assert len(looks) == 2


def test_two_publishes_of_one_suite_at_once_leave_its_newest_revision_served(suite: OwnSuite) -> None:
    """Each of many revisions is a job; two workers publish at once all the time. What the suite holds is what is served."""
    context = suite.context
    assert isinstance(context.objects, FileObjects)
    shop = Workshop(context.paths, context.database, context.objects, sandbox_for(os.geteuid()))
    revisions = []
    for number in range(1, REVISIONS + 1):
        revisions.append(suite.version(f"{number}.0"))
        changed_at = context.clock + timedelta(seconds=number)
        placed(context.database, publish_order(config(), "devel", revisions[-1], ["hello"], changed_at))
    workers = [start_worker(shop, PUBLISH, jobs=REVISIONS) for _ in range(2)]
    assert [ended(worker) for worker in workers] == [0, 0]
    with context.database.read() as tx:
        jobs = list_jobs(tx, limit=REVISIONS + 1)
    assert [(job.outcome, job.message) for job in jobs if job.outcome is not Outcome.OK] == []
    publications = suite.publications()
    live = [(number, revision) for number, revision, state in publications if state == "live"]
    assert [revision for _, revision in live] == [revisions[-1]]
    assert {state for _, _, state in publications} <= {"live", "retired"}
    assert suite.see().packages == [f"hello {REVISIONS}.0", "world 1.0"]
    [(number, _)] = live
    assert (suite.archive / "dists" / "devel").resolve().name == str(number)
    events = [event for event in context.events() if event.kind is EventKind.SUITE_PUBLISHED]
    assert [event.body["publication"] for event in events] == [number for number, _, _ in publications]
