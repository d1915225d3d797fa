"""Working through the queue, all of it or for some jobs alone: whoever waits for those has them first, and nothing else."""

from collections.abc import Callable, Collection, Sequence

from distwright.archive.resolve import ACCEPT_KIND, PUBLISH_KIND
from distwright.flow.engines.engine import Engine
from distwright.jobs.order import PRIORITY_WAITED
from distwright.model.outcomes import JobState
from distwright.model.records import Job
from distwright.store.database import Database
from distwright.store.followers import count_queued, followers
from distwright.store.jobs import find_jobs, raise_priority
from distwright.worker.loop import Worker

WAIT_S = 0.5
UNTIL_PUBLISHED = (ACCEPT_KIND.name, PUBLISH_KIND.name)  # kinds of what lies between a build or an upload and its suite


def hasten(database: Database, wanted: Sequence[Job]) -> None:
    """Let jobs that a person waits for come before those that nobody waits for, whichever worker takes them."""
    with database.write() as tx:
        for job in find_jobs(tx, [job.id for job in wanted]):
            if job.state is JobState.QUEUED:
                raise_priority(tx, job.id, PRIORITY_WAITED)


def not_done(database: Database, wanted: Collection[int], follow: Collection[str]) -> list[Job]:
    """List those of some jobs, and of what follows from them by jobs of the kinds `follow`, that are not done."""
    with database.read() as tx:
        known, fresh = set(wanted), set(wanted)
        while fresh:
            fresh = set(followers(tx, fresh, follow)) - known
            known |= fresh
        return [job for job in find_jobs(tx, known) if job.state is not JobState.DONE]


def work_until(
    worker: Worker, engine: Engine, take_in: Callable[[], None], left: Callable[[], list[Job]], *, is_all: bool
) -> None:
    """Run jobs here until nothing is left: any that are ready (is_all), or what is left alone; wait for what others run.

    take_in: turns what has happened into jobs, between any two. left: lists what is not done yet. Raises KeyboardInterrupt.
    """
    while True:
        take_in()
        if is_all and worker.run_one():
            continue
        waits = left()
        if not waits:
            return
        if not is_all and worker.run_one([job.id for job in waits]):
            continue
        worker.watcher.waits(waits[0])
        engine.wait(tuple(worker.pools), WAIT_S)


def say_what_is_queued(worker: Worker, tell: Callable[[str], None]) -> None:
    """Say how much was not waited for."""
    with worker.database.read() as tx:
        count = count_queued(tx, worker.pools, worker.database.now())
    if count:
        jobs = "1 job more is" if count == 1 else f"{count} jobs more are"
        tell(f"{jobs} in the queue: `distwright worker --until-idle` carries out all, or serve does")
