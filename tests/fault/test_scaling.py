"""The command that starts machines of a pool: run when it is due, once for each order, whoever looks and whatever is killed."""

import json
import os
import re
import signal
import sys
import traceback
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.worlds.installation import CONFIG
from tests.worlds.postgres import PostgresCluster
from tests.worlds.processes import living, wait_until
from tests.worlds.state import count_order
from tests.worlds.work import IsCancelled, Tell, Workshop, ended, worker_of, workshop

from distwright.config.load import parse_config
from distwright.config.model import Config
from distwright.jobs.lease import Ending, claim_next, end_attempt
from distwright.jobs.order import place_order
from distwright.jobs.scaling import POOL_SCALE
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Job
from distwright.site.pools import PoolWatch
from distwright.store.events import events_after
from distwright.store.jobs import list_jobs
from distwright.tools.sandbox import Sandbox
from distwright.worker.context import JobContext

pytestmark = pytest.mark.system
MINUTE = timedelta(minutes=1)
TABLES = """
[pool.arm64]
scale_command = ["{command}", "--of", "arm64"]
wait_minutes = 5
idle_minutes = 30
every_minutes = 10
timeout_minutes = 1
[host.anvil]
role = "runner"
pools = ["arm64"]
slots = 3
"""


class Site:
    """An installation whose pool arm64 has a command, which notes each start with what it was told."""

    def __init__(self, folder: Path, url: str) -> None:
        self.shop: Workshop = workshop(folder / "state", Sandbox(None), url)
        self.command, self.started = folder / "command", folder / "started"
        self.says("echo two machines come")
        config = parse_config([("distwright.toml", CONFIG + TABLES.format(command=self.command))])
        quick = config.pools["arm64"].model_copy(update={"timeout_minutes": 1 / 60})
        self.config: Config = replace(config, pools={"arm64": quick})

    def says(self, script: str) -> None:
        self.command.write_text(f'#!/bin/sh\nread -r told\necho "$* $told" >>{self.started}\n{script}\n')
        self.command.chmod(0o755)

    def starts(self) -> list[tuple[str, dict[str, object]]]:
        lines = self.started.read_text().splitlines() if self.started.exists() else []
        return [(line.partition(" {")[0], json.loads("{" + line.partition(" {")[2])) for line in lines]

    def waits(self, number: int, since: datetime) -> None:
        with self.shop.database.write() as tx:
            place_order(tx, count_order(number, pool="arm64"), since)

    def works_off(self) -> None:
        """Have everything that waits in the pool done."""
        while (job := claim_next(self.shop.database, ["arm64"], "somebody", self.now())) is not None:
            end_attempt(self.shop.database, job, Ending(Outcome.OK, "ok"), self.now())

    def now(self) -> datetime:
        return self.shop.database.now()

    def look(self, at: datetime) -> list[str]:
        return PoolWatch(self.shop.database, lambda _pool: None).look(self.config, "c0ffee", at)

    def jobs(self) -> list[Job]:
        with self.shop.database.read() as tx:
            return list(reversed(list_jobs(tx, kind="pool.scale")))

    def events(self) -> list[Event]:
        with self.shop.database.read() as tx:
            return [stored.event for stored in events_after(tx, 0)]

    def make_context(self, job: Job, tell: Tell, is_cancelled: IsCancelled) -> JobContext:
        return replace(self.shop.make_context(job, tell, is_cancelled), config=self.config)

    def start_worker(self) -> int:
        """Fork a worker that runs one job."""
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            return pid
        try:
            worker = worker_of(self.shop, POOL_SCALE)
            worker.make_context = self.make_context
            worker.clean_up()
            os._exit(0 if worker.run_one() else 3)
        finally:
            traceback.print_exc()
            os._exit(1)


@pytest.fixture
def site(tmp_path: Path, postgres: PostgresCluster) -> Iterator[Site]:
    site = Site(tmp_path, postgres.new_database())
    yield site
    site.shop.database.close()


def test_machines_come_when_jobs_wait_and_go_when_nothing_is_left(site: Site) -> None:
    now = site.now() - 120 * MINUTE
    site.waits(1, now - 6 * MINUTE)
    site.waits(2, now - 3 * MINUTE)
    assert (site.look(now), site.look(now)) == (["grow pool arm64"], []), "once, whoever looks"
    assert site.look(now + 20 * MINUTE) == [], "the order has not ended yet"
    assert ended(site.start_worker()) == 0
    ((words, told),) = site.starts()
    assert words == "--of arm64 grow"
    assert int(str(told.pop("longest_wait_s"))) >= 360
    assert told == {"pool": "arm64", "action": "grow", "waiting": 2, "running": 0, "slots": 3}
    (event,) = site.events()
    assert (event.kind, event.subject, event.body["message"]) == (
        EventKind.POOL_SCALED, "pool arm64: grow", "two machines come",
    )  # fmt: skip
    assert "two machines come" in site.shop.log(site.jobs()[0].id)
    site.works_off()
    later = now + 49 * MINUTE  # it was last seen to have work 20 minutes after that
    assert (site.look(later), site.look(later + 10 * MINUTE)) == ([], ["shrink pool arm64"])
    assert ended(site.start_worker()) == 0
    assert [words for words, _ in site.starts()] == ["--of arm64 grow", "--of arm64 shrink"]
    assert site.look(later + 60 * MINUTE) == [], "they are gone"


def test_job_that_still_waits_is_said_again_after_the_interval(site: Site) -> None:
    now = site.now()
    site.waits(1, now - 6 * MINUTE)
    assert site.look(now) == ["grow pool arm64"]
    assert ended(site.start_worker()) == 0
    assert [site.look(now + minutes * MINUTE) for minutes in (1, 9, 10)] == [[], [], ["grow pool arm64"]]
    assert len(site.jobs()) == 2


@pytest.mark.parametrize(
    ("script", "message"),
    [("echo no money left >&2; exit 7", r"\(exit 7\): no money left"), ("sleep 3600", r"\(time limit of 1 s\)")],
)
def test_command_that_fails_or_hangs_ends_its_job_with_the_reason(site: Site, script: str, message: str) -> None:
    site.says(script)
    now = site.now()
    site.waits(1, now - 6 * MINUTE)
    site.look(now)
    assert ended(site.start_worker()) == 0
    (job,) = site.jobs()
    assert (job.state, job.outcome) == (JobState.DONE, Outcome.FAILED)
    assert re.search(message, job.message or ""), job.message
    assert [event.kind for event in site.events()] == [EventKind.JOB_ENDED]
    assert site.look(now + 10 * MINUTE) == ["grow pool arm64"], "it is tried again when it is time"


def test_command_is_not_started_twice_when_its_worker_is_killed_in_the_middle(site: Site) -> None:
    site.says("while :; do sleep 1; done")
    now = site.now()
    site.waits(1, now - 6 * MINUTE)
    site.look(now)
    worker = site.start_worker()
    wait_until(lambda: len(site.starts()) == 1, "the command runs")
    os.kill(worker, signal.SIGKILL)
    assert ended(worker) == -signal.SIGKILL
    wait_until(lambda: not living(str(site.command)), "the end of the command")
    assert ended(site.start_worker()) == 0
    (job,) = site.jobs()
    assert (job.outcome, job.fence) == (Outcome.FAILED, 2)
    assert "was begun by an attempt that is gone" in (job.message or "")
    assert len(site.starts()) == 1


def test_nothing_is_run_where_no_other_machine_reaches_the_rows(tmp_path: Path) -> None:
    site = Site(tmp_path, "")
    now = site.now()
    site.waits(1, now - 60 * MINUTE)
    assert site.look(now) == []
    assert [job.pool for job in _all_jobs(site)] == ["local"], "and a job waits where somebody looks"
    site.shop.database.close()


def _all_jobs(site: Site) -> list[Job]:
    with site.shop.database.read() as tx:
        return list_jobs(tx)
