"""What faces say of an explanation: the report, or why there is none and what helps."""

from dataclasses import replace

import pytest
from tests.habits.samples import INPUTS, RECIPE
from tests.worlds.installation import config
from tests.worlds.state import memory_database, placed
from tests.worlds.times import NOW

from distwright.builds.environment import EnvironmentRecipe
from distwright.checks.explain import explain_order, pairs_of
from distwright.checks.image_rebuild import KIND as IMAGE_REBUILD
from distwright.checks.image_rebuild import QUESTION
from distwright.checks.rebuild import KIND as REBUILD
from distwright.config.model import Config
from distwright.errors import BadInput, NotFound, Refused
from distwright.images.build import KIND as IMAGE_BUILD
from distwright.jobs.lease import Ending, claim_next, end_attempt
from distwright.jobs.order import JobOrder
from distwright.model import plain
from distwright.model.digests import Json, sha256_of
from distwright.model.outcomes import Outcome
from distwright.model.records import Trial
from distwright.site.comparing import explanation, image_answers, image_built, order_of_rebuild, show_rebuild
from distwright.store.database import Database
from distwright.store.memory import MemoryObjects
from distwright.store.trials import set_trial

PAIRS = pairs_of(INPUTS["package.explain"])
ORDER = explain_order(
    EnvironmentRecipe.from_json(plain.mapping({"environment": RECIPE}, "environment")), PAIRS, "greeter 1.0"
)


def with_checkers() -> Config:
    build = config().environments["build"].model_copy(update={"checkers": "tools"})
    return replace(config(), environments={**config().environments, "build": build})


def ended(database: Database, ending: Ending) -> None:
    job = claim_next(database, ["local"], "test", NOW)
    assert job is not None
    assert end_attempt(database, job, ending, NOW)


def said(database: Database, objects: MemoryObjects, *, checkers: bool = True) -> str:
    return explanation(database, objects, with_checkers() if checkers else config(), "greeter", PAIRS)


def test_the_setting_that_is_missing_is_named() -> None:
    text = said(memory_database(), MemoryObjects(), checkers=False)
    assert text == 'diffoscope does not run: set checkers = "ENVIRONMENT" in [environment.build]'


def test_the_report_is_given_from_when_it_is_there_to_when_it_is_gone() -> None:
    database, objects = memory_database(), MemoryObjects()
    assert said(database, objects) == "diffoscope has not been asked: distwright package compare A B --explain"
    placed(database, ORDER)
    assert said(database, objects) == "diffoscope is still looking: distwright job show 1"
    ended(database, Ending(Outcome.OK, "looked", {"report": str(objects.put(b"--- first\n"))}))
    assert said(database, objects) == "--- first\n"
    assert said(database, MemoryObjects()) == "what diffoscope said is no longer kept: distwright job retry 1"


def test_a_diffoscope_that_fails_says_why() -> None:
    database = memory_database()
    placed(database, ORDER)
    ended(database, Ending(Outcome.FAILED, "diffoscope has no answer: exit 2"))
    assert said(database, MemoryObjects()) == "diffoscope has no answer: exit 2: distwright job log 1"


def test_a_rebuild_is_shown_with_its_verdict_its_circumstances_and_its_differences() -> None:
    database, objects = memory_database(), MemoryObjects()
    placed(database, JobOrder(REBUILD, INPUTS["package.rebuild"], "rebuild greeter 1.0"))
    outputs: dict[str, Json] = {"verdict": "differs", "differences": ["a", "b"], "count": 2, "pairs": {}}
    ended(database, Ending(Outcome.OK, "greeter 1.0 is not reproducible: a", outputs))
    shown = show_rebuild(database, objects, config(), 1)
    assert (shown.verdict, shown.is_same, shown.differences, shown.explained) == ("differs", False, ("a", "b"), "")
    assert shown.varied["host name"] == "other"
    placed(database, ORDER)
    with pytest.raises(BadInput, match="job 2 is no rebuild"):
        show_rebuild(database, objects, config(), 2)


def image_jobs(database: Database, *verdicts: str) -> None:
    """Build an image, and note what came of its second builds: jobs 1, and from 2 on."""
    placed(database, JobOrder(IMAGE_BUILD, INPUTS["image.build"], "build image"))
    ended(
        database, Ending(Outcome.OK, "built", {"name": "petrel-1", "files": {"petrel-1.iso": "0" * 64}}, heir="image 1")
    )
    outcomes = {"same": Outcome.OK, "differs": Outcome.FAILED, "unknown": Outcome.BROKEN}
    with database.write() as tx:
        for number, verdict in enumerate(verdicts):
            row = Trial(
                id=0, question=QUESTION, subject="petrel", version="petrel-1", commit="", states={},
                order=sha256_of(bytes([number])), job=2, outcome=outcomes[verdict], message="", took_s=1, at=NOW,
            )  # fmt: skip
            set_trial(tx, row)


def test_an_image_is_found_by_its_name_or_the_number_of_its_build() -> None:
    database = memory_database()
    with pytest.raises(NotFound, match="image 'petrel' was not built yet"):
        image_built(database, "petrel")
    image_jobs(database)
    assert image_built(database, "petrel") == image_built(database, "1") == 1
    placed(database, JobOrder(REBUILD, INPUTS["package.rebuild"], "rebuild greeter 1.0"))
    with pytest.raises(Refused, match=r"job 2 is no build of an image but a package\.rebuild"):
        image_built(database, "2")
    order = order_of_rebuild(database, 1)
    assert (order.kind, order.inputs["built"]) == (IMAGE_REBUILD, {"petrel-1.iso": "0" * 64})
    with pytest.raises(NotFound, match="image 'gull'"):
        image_built(database, "gull")


@pytest.mark.parametrize("verdict", ["same", "differs", "unknown"])
def test_the_last_answer_about_an_image_counts(verdict: str) -> None:
    database = memory_database()
    assert image_answers(database) == {}
    image_jobs(database, "same", "differs", verdict)
    assert image_answers(database) == {"petrel-1": verdict}


def test_a_second_build_of_an_image_is_shown_with_its_own_circumstances() -> None:
    database, objects = memory_database(), MemoryObjects()
    placed(database, JobOrder(IMAGE_REBUILD, INPUTS["image.rebuild"], "rebuild image"))
    outputs: dict[str, Json] = {
        "verdict": "differs",
        "differences": ["a"],
        "count": 1,
        "pairs": INPUTS["package.explain"]["pairs"],
    }
    ended(database, Ending(Outcome.OK, "petrel-1 is not reproducible: a", outputs))
    shown = show_rebuild(database, objects, config(), 1)
    assert (shown.verdict, shown.is_same, shown.differences) == ("differs", False, ("a",))
    assert "build path" not in shown.varied
    assert shown.varied["kernel"] == "a number of 2.6"
    assert shown.explained == 'diffoscope does not run: set checkers = "ENVIRONMENT" in [environment.tools]'
