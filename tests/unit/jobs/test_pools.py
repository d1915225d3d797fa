"""Pools by architecture: an order is placed where machines of its architecture work, and nowhere that nobody looks."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.habits.samples import INPUTS
from tests.worlds.commands import command_line
from tests.worlds.installation import CONFIG
from tests.worlds.state import count_order, placed
from tests.worlds.times import NOW

from distwright.config.load import parse_config
from distwright.config.model import Config
from distwright.errors import BadUsage
from distwright.jobs.lease import claim_next
from distwright.jobs.order import JobOrder
from distwright.jobs.pools import BY_ARCHITECTURE, check_pools, in_its_pool, pools_at_hand, pools_of, shared_pools
from distwright.jobs.step import KindName
from distwright.model.digests import Json
from distwright.store.database import Database
from distwright.store.jobs import list_jobs
from distwright.store.pools import PoolLoad, loads_of_pools, move_waiting
from distwright.worker.kinds import KINDS, portable

HOST = '\n[host.{name}]\nrole = "runner"\npools = {pools}\n'


def config(**pools: list[str]) -> Config:
    tables = "".join(HOST.format(name=name, pools=str(names).replace("'", '"')) for name, names in pools.items())
    return parse_config([("distwright.toml", CONFIG + tables)])


def build(architecture: str, kind: str = "package.build", pool: str = "local") -> JobOrder:
    environment: Json = {"architecture": architecture}
    return JobOrder(KindName(kind, 1), {"environment": environment}, "build", pool=pool)


def test_order_goes_to_the_pool_of_its_architecture_where_somebody_works_for_it() -> None:
    pools = ("amd64", "local")
    assert in_its_pool(build("amd64"), pools) == replace(build("amd64"), pool="amd64")
    assert in_its_pool(build("arm64"), pools) == build("arm64"), "nobody works there"
    assert in_its_pool(build("amd64", pool="big"), pools).pool == "big", "it names one itself"
    assert in_its_pool(build("amd64", "image.build"), pools).pool == "local", "only the server can do it"
    assert in_its_pool(count_order(), ("count", "local")) == count_order()
    for odd in (None, "amd64", {"architecture": 3}, {}):
        order = JobOrder(KindName("package.build", 1), {"environment": odd}, "odd")
        assert in_its_pool(order, ("amd64",)).pool == "local"


def test_every_kind_that_is_placed_by_architecture_names_one_and_may_run_elsewhere() -> None:
    for name in BY_ARCHITECTURE:
        order = JobOrder(KINDS[name].kind, INPUTS[name], name)
        assert in_its_pool(order, ("amd64",)).pool == "amd64", name
        assert name in portable(KINDS), name


def test_pools_are_what_hosts_have_and_local(database: Database) -> None:
    table = config(anvil=["arm64", "local"], tongs=["arm64", "amd64"])
    assert pools_of(table) == ("amd64", "arm64", "local")
    assert pools_of(config()) == ("local",)
    assert database.is_of_one_machine
    assert shared_pools(database, table) == ("local",), "whoever only has this configuration has none of these machines"
    assert pools_at_hand(database, table) == ("local",)


def test_worker_for_a_pool_that_there_is_none_of_is_refused_with_those_that_there_are() -> None:
    table = config(anvil=["arm64"])
    check_pools(table, ["arm64", "local"])
    with pytest.raises(BadUsage, match="there is no pool 'nonsense', but arm64, local") as refused:
        check_pools(table, ["local", "nonsense"])
    assert "[host.NAME]" in refused.value.hint


def test_command_refuses_such_a_pool(tmp_path: Path) -> None:
    typed = command_line(tmp_path).run("worker", "--pool", "nonsense", "--until-idle")
    assert (typed.exit_code, typed.said) == (2, "there is no pool 'nonsense', but local")


def test_jobs_of_a_pool_that_is_gone_come_to_another_in_their_order(database: Database) -> None:
    for number, pool in enumerate(("arm64", "local", "arm64", "amd64"), start=1):
        placed(database, count_order(number, pool=pool, priority=40 if number < 3 else 50))
    with database.write() as tx:
        assert move_waiting(tx, ["amd64"], "local") == 2
        assert move_waiting(tx, ["amd64"], "local") == 0
    with database.read() as tx:
        assert [job.pool for job in reversed(list_jobs(tx))] == ["local", "local", "local", "amd64"]
    claimed = [claim_next(database, ["local"], "me", NOW) for _ in range(4)]
    assert [job and job.inputs["number"] for job in claimed] == [3, 2, 1, None]


def test_load_of_a_pool_is_what_is_ready_and_what_runs(database: Database) -> None:
    for number, pool in enumerate(("local", "local", "arm64"), start=1):
        placed(database, count_order(number, pool=pool))
    claim_next(database, ["local"], "me", NOW)
    placed(database, count_order(4, pool="far"), NOW.replace(year=NOW.year + 1))
    with database.read() as tx:
        assert loads_of_pools(tx, NOW) == {"local": PoolLoad(1, NOW, 1), "arm64": PoolLoad(1, NOW, 0)}
