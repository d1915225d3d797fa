"""What faces say of jobs that no worker here will take."""

from tests.worlds.state import count_order, placed
from tests.worlds.times import NOW

from distwright.jobs.lease import claim_next
from distwright.jobs.order import get_job
from distwright.jobs.step import KindName
from distwright.site.views import unknown_kind
from distwright.store.database import Database
from distwright.worker.kinds import KINDS


def test_a_queued_job_of_another_version_says_what_it_waits_for(database: Database) -> None:
    known = KINDS["image.build"].kind
    newer = placed(database, count_order(1, kind=KindName(known.name, known.version + 1)))
    assert unknown_kind(newer) == (
        f"this version of distwright does not know image.build {known.version + 1}: "
        "it waits for one that does, or for distwright job cancel 1"
    )
    assert unknown_kind(placed(database, count_order(2))).startswith("this version of distwright does not know count 1")
    assert unknown_kind(placed(database, count_order(3, kind=known))) == ""


def test_a_job_that_runs_elsewhere_waits_for_nobody(database: Database) -> None:
    placed(database, count_order(1))
    claim_next(database, ["local"], "a newer worker", NOW)
    with database.read() as tx:
        assert unknown_kind(get_job(tx, 1)) == ""
