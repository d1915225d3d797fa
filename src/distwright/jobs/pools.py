"""Which pool an order is of: that of its architecture where a machine works for one, else the one that it names."""

import os
from collections.abc import Collection
from dataclasses import replace

from distwright.config.model import Config
from distwright.errors import BadUsage, quoted
from distwright.jobs.order import DEFAULT_POOL, JobOrder
from distwright.jobs.step import Inputs
from distwright.store.database import Database
from distwright.tools.architectures import own_architecture

# Kinds whose programs are those of their environment; all of them may run on another machine (tests/unit/jobs/test_pools.py).
BY_ARCHITECTURE = frozenset({
    "package.build", "package.try", "package.rebuild", "package.autopkgtest", "package.piuparts", "suite.install",
})  # fmt: skip


def pools_of(config: Config) -> tuple[str, ...]:
    """Name all pools that there are: `local`, those of hosts, and those with a table; sorted."""
    of_hosts = {pool for host in config.hosts.values() for pool in host.pools}
    return tuple(sorted({DEFAULT_POOL, *of_hosts, *config.pools}))


def shared_pools(database: Database, config: Config) -> tuple[str, ...]:
    """Name the pools that other machines can work for. Where the rows are in a file nobody else reaches them: none but `local`.

    So whoever applies the configuration of another installation, to build what that builds, waits for none of its machines.
    """
    return (DEFAULT_POOL,) if database.is_of_one_machine else pools_of(config)


def in_its_pool(order: JobOrder, pools: Collection[str]) -> JobOrder:
    """Put an order that names no pool of its own into that of its architecture. pools: those that somebody works for."""
    architecture = architecture_of(order.inputs) if order.kind.name in BY_ARCHITECTURE else ""
    return replace(order, pool=architecture) if architecture in pools and order.pool == DEFAULT_POOL else order


def architecture_of(inputs: Inputs) -> str:
    """Give the architecture of the environment that inputs name; "" if they name none."""
    environment = inputs.get("environment")
    found = environment.get("architecture") if isinstance(environment, dict) else None
    return found if isinstance(found, str) else ""


def pools_at_hand(database: Database, config: Config) -> tuple[str, ...]:
    """Name the pools whose jobs a person's command does itself: `local`, and that of this machine's architecture."""
    own = {own_architecture(os.uname().machine)} & set(shared_pools(database, config))
    return (DEFAULT_POOL, *sorted(own - {DEFAULT_POOL}))


def check_pools(config: Config, pools: Collection[str]) -> None:
    """Raise BadUsage for a pool that no table names: a worker would wait there for ever."""
    wrong = sorted(set(pools) - set(pools_of(config)))
    if wrong:
        raise BadUsage(
            f"there is no pool {', '.join(quoted(pool) for pool in wrong)}, but {', '.join(pools_of(config))}",
            hint="name one of these, or write it into the pools of a [host.NAME] table and apply that",
        )
