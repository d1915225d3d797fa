"""The jobs of this stage from order to conclusion, as a worker performs them."""

from pathlib import Path

import pytest
from tests.unit.archive.requests import LISTS
from tests.worlds.archive import DATE, DAY, MIRROR, NOW, Upstream, make_deb, make_source, make_upload, signer
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.suite import own_suite

from distwright.archive.kinds import ACCEPT, PUBLISH, RECORD
from distwright.archive.resolve import accept_order, publish_order, record_order
from distwright.errors import BadInput, Refused
from distwright.jobs.order import JobOrder
from distwright.jobs.step import Action, Conclusion, JobKind
from distwright.model.digests import Sha256


@pytest.fixture
def context(tmp_path: Path) -> WorldContext:
    upstream = Upstream(valid_days=7)
    upstream.add(make_deb("hello"))
    upstream.publish(DATE)
    return make_context(tmp_path, upstream)


def perform(context: WorldContext, kind: JobKind, order: JobOrder) -> Conclusion:
    """Perform the one action of a kind and conclude."""
    assert order.kind == kind.kind
    [step] = kind.steps
    assert isinstance(step, Action)
    result = step.perform(context, order.inputs, {})
    return kind.conclude(order.inputs, {step.name: result}, NOW, 1)


def record_of(context: WorldContext, *, serial: str | None = None) -> JobOrder:
    keyring = context.objects.put(signer("upstream").certificate())
    return record_order(context.config, "debian", url=MIRROR, keyring=keyring, serial=serial, requested=NOW)


def test_a_record_job_says_which_serial_is_the_newest_and_whether_it_is_new(context: WorldContext) -> None:
    first = perform(context, RECORD, record_of(context))
    again = perform(context, RECORD, record_of(context))
    assert (first.message, again.message) == ("debian 2024011001 (new)", "debian 2024011001 (unchanged)")
    assert (first.outputs["serial"], first.outputs["is_new"], first.events) == ("2024011001", True, ())
    named = perform(context, RECORD, record_of(context, serial="2024012001"))
    assert named.message == "debian 2024012001 (new)"


def test_jobs_that_version_0_1_0_ordered_run_as_it_meant_them(context: WorldContext, tmp_path: Path) -> None:
    order = record_of(context)
    said = ("archive", "suites", "components", "architectures", "sources", "translations", "origin", "label",
            "accept_expired", "url", "keyring", "keyring_name", "serial", "requested")  # fmt: skip
    old = JobOrder(order.kind, {name: order.inputs[name] for name in said}, order.title)
    assert perform(context, RECORD, old).message == "debian 2024011001 (new)"
    suite = own_suite(tmp_path, context=context)
    revision = suite.hold(make_deb("hello"))
    present = publish_order(context.config, "devel", revision, (), NOW)
    names = ("archive", "suite", "revision", "lists", "fields", "added", "changed_at")
    inputs = {**{name: present.inputs[name] for name in names}, "credential": "petrel"}
    assert perform(context, PUBLISH, JobOrder(present.kind, inputs, present.title)).message.startswith("published")
    assert suite.see().packages == ["hello 1.0"]


def test_a_record_job_of_an_expired_mirror_names_it_in_output_message_and_log(context: WorldContext) -> None:
    context.clock = DATE + 9 * DAY
    order = record_of(context)
    with pytest.raises(Refused, match="Release of debian/stable expired on 2024-01-17 12:00 UTC"):
        perform(context, RECORD, order)
    accepting = JobOrder(order.kind, {**order.inputs, "accept_expired": True}, order.title)
    ended = perform(context, RECORD, accepting)
    note = "Release of debian/stable expired on 2024-01-17 12:00 UTC; accepted, as accept_expired says"
    assert (ended.outputs["notes"], ended.message) == ([note], f"debian 2024011901 (new); {note}")
    assert note in context.lines


def test_an_upload_goes_from_its_order_to_the_served_suite(context: WorldContext, tmp_path: Path) -> None:
    suite = own_suite(tmp_path, context=context)
    changes, files = make_upload(make_source("greeter"), make_deb("greeter")).keep(context.objects)
    order = accept_order(context.config, "devel", changes=changes, files=files, source="greeter", version="1.0",
                         signers=signer("uploader").certificate())  # fmt: skip
    accepted = perform(context, ACCEPT, order)
    assert accepted.message == "accepted greeter 1.0 into devel"
    revision = Sha256(str(accepted.outputs["revision"]))
    published = perform(context, PUBLISH, publish_order(context.config, "devel", revision, ("greeter",), NOW))
    assert published.message == "published petrel/devel (publication 1)"
    served = (suite.archive / "dists" / "devel" / "InRelease").read_bytes()
    assert context.objects.read(Sha256(str(published.outputs["inrelease"]))) == served
    assert suite.see().packages == ["greeter 1.0"]
    assert tuple(publish_order(context.config, "devel", revision, (), NOW).inputs["lists"]) == LISTS  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [RECORD, ACCEPT, PUBLISH], ids=lambda kind: kind.kind.name)
def test_inputs_that_are_not_what_they_must_be_are_named(context: WorldContext, kind: JobKind) -> None:
    with pytest.raises(BadInput, match=r"'\w+' is missing; want a"):
        perform(context, kind, JobOrder(kind.kind, {}, "nothing"))
