"""Who makes way for a release: the least of those whose worker could take it, and every worker says the same."""

from dataclasses import replace
from datetime import timedelta

from tests.worlds.state import COUNT, count_order, placed
from tests.worlds.times import NOW

from distwright.jobs.lease import MAKE_WAY_AFTER_S, claim_next, takes_its_place, who_makes_way
from distwright.jobs.scaling import SCALE_KIND
from distwright.model.records import Job
from distwright.store.database import Database

POOLS = ["local"]
ELSEWHERE = "another-host 11111111-2222-3333-4444-555555555555 4711 100"


def _claimed(database: Database, *pools: str, holder: str = "me") -> Job:
    job = claim_next(database, pools or POOLS, holder, NOW)
    assert job is not None
    return job


def test_only_a_job_whose_worker_could_take_the_release_makes_way_for_it(database: Database) -> None:
    """The least job runs on a host, which may not take what only the server can: to stop it would help nobody."""
    placed(database, count_order(1, priority=40))
    placed(database, count_order(2, priority=20))
    on_server = _claimed(database)
    on_host = _claimed(database, holder=f"anvil:{ELSEWHERE}")
    release = placed(database, count_order(3, priority=50))
    portable = {(release.kind, release.version)}
    running = [on_host, on_server]
    assert who_makes_way(running, [release], portable) == {on_host.id: release}
    assert who_makes_way(running, [release], ()) == {on_server.id: release}
    assert who_makes_way([on_host], [release], ()) == {}
    second = replace(release, id=4, kind="other")
    assert who_makes_way(running, [second, release], portable) == {on_server.id: second, on_host.id: release}
    late = NOW + timedelta(seconds=MAKE_WAY_AFTER_S)
    found = [takes_its_place(database, job, POOLS, [COUNT], late, []) for job in (on_host, on_server)]
    assert found == [None, release], "each worker comes to the same answer"


def test_job_of_the_same_pool_makes_way_before_one_of_another(database: Database) -> None:
    for number, (pool, priority) in enumerate((("amd64", 20), ("local", 40)), start=1):
        placed(database, count_order(number, pool=pool, priority=priority))
    lower = [_claimed(database, "amd64"), _claimed(database)]
    release = placed(database, count_order(3, priority=50))
    assert who_makes_way(lower, [release], ()) == {2: release}
    assert who_makes_way(lower[:1], [release], ()) == {1: release}


def test_command_that_is_begun_only_once_is_not_stopped_in_the_middle(database: Database) -> None:
    placed(database, count_order(1, kind=SCALE_KIND, priority=20))
    placed(database, count_order(2, priority=40))
    running = [_claimed(database), _claimed(database)]
    release = placed(database, count_order(3, priority=50))
    scale, other = sorted(running, key=lambda job: job.priority)
    assert scale.kind == SCALE_KIND.name
    assert who_makes_way([scale, other], [release], ()) == {other.id: release}
    assert who_makes_way([scale], [release], ()) == {}
