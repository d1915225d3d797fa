"""A rehearsal as faces ask for it: the tags of the archives that an image is made of, and how it ended."""

import pytest
from tests.habits.samples import INPUTS
from tests.unit.checks.test_image_rehearsal import FILES, NAME, tags
from tests.worlds.state import memory_database, placed
from tests.worlds.times import NOW

from distwright.errors import NotFound
from distwright.images.build import KIND as IMAGE_BUILD
from distwright.jobs.lease import Ending, claim_next, end_attempt
from distwright.jobs.order import JobOrder
from distwright.model.digests import Json
from distwright.model.outcomes import Outcome
from distwright.site.rehearsing import order_of_rehearsal, show_rehearsal
from distwright.store.database import Database
from distwright.store.holds import replace_holds, serial_hold
from distwright.store.memory import MemoryObjects
from distwright.store.signed import insert_tag


def ended(database: Database, outputs: dict[str, Json] | None, message: str = "done") -> None:
    job = claim_next(database, ["local"], "test", NOW)
    assert job is not None
    outcome = Outcome.FAILED if outputs is None else Outcome.OK
    assert end_attempt(database, job, Ending(outcome, message, outputs), NOW)


def test_it_is_ordered_with_the_tags_and_the_serials_of_the_image_and_shown_with_its_verdict() -> None:
    database, objects = memory_database(), MemoryObjects()
    placed(database, JobOrder(IMAGE_BUILD, INPUTS["image.build"], "build image"))
    ended(database, {"name": NAME, "files": dict(FILES)})
    rows = tags(objects, "debian", "petrel")
    with database.write() as tx:
        insert_tag(tx, rows["debian"])
        replace_holds(tx, "image 1", [serial_hold("", "debian", "2026110101", "image")], NOW)
    with pytest.raises(NotFound, match=r"archive petrel has no tagged snapshot 1\.0"):
        order_of_rehearsal(database, objects, 1, "1.0")
    with database.write() as tx:
        insert_tag(tx, rows["petrel"])
    order = order_of_rehearsal(database, objects, 1, "1.0")
    assert [(hold.kind, hold.target) for hold in order.holds] == [("serial", "debian/2026110101")]
    placed(database, order)
    assert show_rehearsal(database, 2).verdict == "unknown", "it has not ended"
    ended(database, {"verdict": "differs", "differences": ["a", "b"]}, "another one")
    shown = show_rehearsal(database, 2)
    assert (shown.verdict, shown.message, shown.differences, shown.is_same) == (
        "differs", "another one", ("a", "b"), False,
    )  # fmt: skip
