"""What a second `distwright demo` tries again, and what it leaves."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.worlds.commands import command_line
from tests.worlds.installation import config

from distwright.app import App, open_app
from distwright.cli.demo import order_images, retry_unfinished
from distwright.errors import NotFound
from distwright.jobs.lease import Ending, claim_next, end_attempt
from distwright.jobs.order import JobOrder
from distwright.jobs.step import KindName
from distwright.model.outcomes import JobState, Outcome
from distwright.store.jobs import find_job


def ended(app: App, image: str, outcome: Outcome) -> int:
    job = app.place(JobOrder(KindName("image.build", 1), {"image": image}, f"build image {image}"))
    claimed = claim_next(app.database, ["local"], "somebody", app.now())
    assert claimed is not None
    end_attempt(app.database, claimed, Ending(outcome, "so"), app.now())
    return job.id


def test_what_failed_is_tried_again_and_what_a_person_cancelled_is_named_and_left(tmp_path: Path) -> None:
    app = open_app(str(command_line(tmp_path, keys=("petrel", "image", "builder")).state))
    failed, cancelled = ended(app, "one", Outcome.FAILED), ended(app, "two", Outcome.CANCELLED)
    said: list[str] = []
    retry_unfinished(app, said.append)
    with app.database.read() as tx:
        states = {number: (job.state, job.outcome) for number in (failed, cancelled) if (job := find_job(tx, number))}
    image = config().images["petrel"]
    order_images(app, replace(config(), images={"two": image}))  # it would say that no image is configured here
    with pytest.raises(NotFound):
        order_images(app, replace(config(), images={"three": image}))
    app.database.close()
    assert states == {failed: (JobState.QUEUED, None), cancelled: (JobState.DONE, Outcome.CANCELLED)}
    assert said == ["job 2, build image two, was cancelled and stays so: distwright job retry 2"]
