"""`image build --layer`: what cannot be a layer is ordered in full, and everybody is told why."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.worlds.based import LATER, TERN, Based, record_all
from tests.worlds.commands import command_line
from tests.worlds.installation import CONFIG, WorldContext
from tests.worlds.suite import OwnSuite

from distwright.app import App, open_app
from distwright.cli.image_layer import build_layer
from distwright.cli.watch import TerminalWatcher
from distwright.images.forms import BUILD_KIND, LAYER_KIND
from distwright.images.layer_orders import layer_order
from distwright.jobs.lease import Ending, claim_next, end_attempt
from distwright.jobs.order import get_job
from distwright.model.digests import Json
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Job
from distwright.net.fetcher import Fetcher
from distwright.site.layers import say_why_in_full, why_no_layer
from distwright.site.views import jobs


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    app = open_app(str(command_line(tmp_path, CONFIG, keys=("petrel", "image")).state))
    yield app
    app.database.close()


def world(app: App) -> Based:
    context = WorldContext(app.paths, app.database, app.objects, _NOBODY)
    record_all(context)
    made = Based(context, OwnSuite(context))
    made.hold(TERN)
    made.push()
    return made


_NOBODY: Fetcher = None  # type: ignore[assignment]  # record_all puts one in its place


def ended(app: App, outcome: Outcome, message: str, outputs: dict[str, Json] | None = None) -> Job:
    """Let the job that waits end so."""
    job = claim_next(app.database, ["local"], "test", app.now())
    assert job is not None
    assert end_attempt(app.database, job, Ending(outcome, message, outputs), app.now())
    with app.database.read() as tx:
        return get_job(tx, job.id)


def test_without_a_base_the_image_is_ordered_in_full_and_its_title_says_why(app: App) -> None:
    world(app)
    told: list[str] = []
    app.tell = told.append
    job = build_layer(app, "petrel", TerminalWatcher(app.paths.job_log, follow=False))
    why = "no image of petrel that was built in full is kept"
    assert (job.kind, job.state) == (BUILD_KIND.name, JobState.QUEUED)
    assert job.title == f"build image {job.inputs['name']} in full, for it is no layer: {why}"
    assert told == [f"petrel is built in full, for it is no layer: {why}"]
    assert job.digest == app.order_image("petrel").digest, "the same job as without being asked for a layer"


def test_a_build_that_is_done_keeps_its_title(app: App) -> None:
    made = world(app)
    made.build()
    [job] = jobs(app.database, limit=9)
    say_why_in_full(app.database, job, "it is there")
    assert jobs(app.database, limit=9) == [job]


@pytest.mark.parametrize(
    ("outcome", "outputs", "why"),
    [
        (Outcome.FAILED, None, "layer: dpkg says no"),
        (Outcome.TIMED_OUT, None, "layer: dpkg says no"),
        (Outcome.OK, {"objections": ["/a: several names", "gull is essential"]}, "/a: several names; gull is essential"),
        (Outcome.OK, {"name": "petrel-1"}, ""),
        (Outcome.CANCELLED, None, ""),
    ],
)  # fmt: skip
def test_what_became_of_a_layer_says_whether_it_is_built_in_full(
    app: App, outcome: Outcome, outputs: dict[str, Json] | None, why: str
) -> None:
    made = world(app)
    made.build()
    made.hold(LATER)
    layer = app.order_image("petrel", layer_order)
    assert layer.kind == LAYER_KIND.name
    assert why_no_layer(layer) == ""
    assert why_no_layer(ended(app, outcome, "layer: dpkg says no", outputs)) == why
