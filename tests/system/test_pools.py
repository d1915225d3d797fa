"""Pools where other machines reach the rows: work goes to the pool of its architecture, and comes back when that is gone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.worlds.commands import CONFIG
from tests.worlds.postgres import PostgresCluster

from distwright.app import App, open_app
from distwright.jobs.order import JobOrder, get_job
from distwright.jobs.pools import pools_at_hand
from distwright.jobs.step import KindName
from distwright.site.applied import apply_config
from distwright.site.pools import PoolWatch
from distwright.store.paths import StatePaths
from distwright.tools.architectures import look_at_machine, own_architecture

pytestmark = pytest.mark.system
HOSTS = '[host.anvil]\nrole = "runner"\npools = ["{own}", "z80"]\n'


@pytest.fixture
def app(tmp_path: Path, postgres: PostgresCluster) -> Iterator[App]:
    paths = StatePaths(tmp_path / "state")
    paths.root.mkdir()
    paths.database_place.write_text(postgres.new_database())
    app = open_app(str(paths.root), create=True)
    configure(app, HOSTS.format(own=own_architecture(look_at_machine().machine)))
    app.make_keys()
    app.keys.make("builder", "a builder")
    yield app
    app.database.close()


def configure(app: App, tables: str) -> None:
    files = {"distwright.toml": CONFIG + tables}
    apply_config(files, {}, "1" * 40, database=app.database, objects=app.objects, paths=app.paths, now=app.now())


def build(architecture: str) -> JobOrder:
    return JobOrder(
        KindName("package.build", 1), {"archive": "petrel", "environment": {"architecture": architecture}}, "build"
    )


def pool_of(app: App, number: int) -> str:
    with app.database.read() as tx:
        return get_job(tx, number).pool


def test_work_is_placed_by_architecture_and_comes_back_when_nobody_works_there_any_more(app: App) -> None:
    own = own_architecture(look_at_machine().machine)
    placed = [app.place(build(architecture)) for architecture in ("z80", own, "m68k")]
    assert [job.pool for job in placed] == ["z80", own, "local"]
    assert pools_at_hand(app.database, app.config()) == ("local", own)
    configure(app, "")
    assert app.place(build("z80")).id == placed[0].id, "the same work is one job, wherever it waits"
    assert pool_of(app, placed[0].id) == "z80"
    hints: list[str] = []
    PoolWatch(app.database, hints.append).look(app.config(), "c0ffee", app.database.now())
    assert [pool_of(app, job.id) for job in placed] == ["local"] * 3
    assert set(hints) == {"local"}
