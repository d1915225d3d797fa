"""Jobs of images note which results of steps they use, so that those of which no image knows any more can be dropped."""

import pytest
from tests.worlds.work import Workshop, kind_of, step

from distwright.jobs.keeping import STEP
from distwright.jobs.step import JobKind, KindName
from distwright.model.outcomes import Outcome
from distwright.store.holds import all_holds
from distwright.worker.execute import execute

pytestmark = pytest.mark.system


def test_what_a_job_of_an_image_made_or_found_is_noted_and_nothing_of_other_jobs(shop: Workshop) -> None:
    made, again = step("echo x >out", name="root", collect={"out": "out"}), step("true", name="boot", repeat=True)
    count = kind_of(made, again)
    image = JobKind(KindName("image.count", 1), count.steps, count.conclude)
    for job, kind in ((1, count), (2, image), (3, image)):
        assert execute(kind, {}, shop.context(job)).outcome is Outcome.OK
    with shop.database.read() as tx:
        noted = [(hold.holder, hold.reason, hold.target) for hold in all_holds(tx) if hold.kind == STEP]
        [key] = {hold.holder.removeprefix("step ") for hold in all_holds(tx) if hold.holder.startswith("step ")}
    assert noted == [("stages 2", "root", key), ("stages 3", "root", key)]
