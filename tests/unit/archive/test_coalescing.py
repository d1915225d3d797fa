"""Several changes of a suite become one publication: a job of an earlier state ends at once, and says so."""

from pathlib import Path

from tests.worlds.archive import make_deb, make_source, make_upload
from tests.worlds.installation import make_context
from tests.worlds.uploads import Suite, add_suite

from distwright.archive.kinds import PUBLISH
from distwright.archive.resolve import publish_order
from distwright.jobs.step import Action
from distwright.model.digests import Sha256
from distwright.store.archives import list_publications


def test_a_publish_of_a_state_that_is_no_longer_present_does_nothing(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    add_suite(context, "devel")
    suite = Suite(context)
    first = suite.accept(make_upload(make_source("one"), make_deb("one"))).values["revision"]
    second = suite.accept(make_upload(make_source("two"), make_deb("two"))).values["revision"]
    [step] = PUBLISH.steps
    assert isinstance(step, Action)
    order = publish_order(context.config, "devel", Sha256(str(first)), ("one",), context.clock)
    result = step.perform(context, order.inputs, {})
    assert result.values == {"moved_on": second}
    concluded = PUBLISH.conclude(order.inputs, {"publish": result}, context.clock, 1)
    assert concluded.message == "petrel/devel has moved on; its present state is published instead"
    assert (concluded.outputs, concluded.events) == ({}, ())
    with context.database.read() as tx:
        assert list_publications(tx) == []
