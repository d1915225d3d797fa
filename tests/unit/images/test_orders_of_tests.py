"""The orders of an image's tests: what they are ordered from, and what is refused then."""

import io
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.habits.samples import EARLIER, INPUTS, ROOT
from tests.unit.images.test_resolve import FILES, installation
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.repos import commit
from tests.worlds.times import NOW

from distwright.archive.resolve import NotReadyError
from distwright.errors import BadInput, NotFound
from distwright.flow.rules import scenarios_of_built_image
from distwright.flow.view import View
from distwright.images.driving.__main__ import write_beside
from distwright.images.kit_descriptions import Description, Release, Upgrade
from distwright.images.scenarios import (
    Chosen,
    driver_tar,
    features_before,
    features_tar,
    last_built,
    orders_of_tests,
)
from distwright.images.testing import KIND, plan_boot, plan_scenarios
from distwright.images.upgrades import say_upgrade
from distwright.model.digests import Json, Sha256
from distwright.model.events import Event, EventKind
from distwright.store.events import append_event

SAMPLE = INPUTS["image.test"]
FEATURE = "Feature: Boot\n  Scenario: it greets\n    Given the machine has started\n"


def give_features(context: WorldContext, **changes: Any) -> None:
    """Give the image of the world features."""
    table = context.config.images["petrel"]
    tools = {"features": ("features",), "testers": table.tools, **changes}
    images = {**context.config.images, "petrel": table.model_copy(update=tools)}
    context.config = replace(context.config, images=images)


def built(head: str, **changes: Json) -> dict[str, Json]:
    digest = "a" * 64
    files = {"petrel-1.iso": digest}
    body: dict[str, Json] = {
        "image": "petrel",
        "name": "petrel-1",
        "files": files,
        "commit": head,
        "vmlinuz": digest,
        "tools": digest,
    }
    return {**body, "manifest": digest, "states": {}, **changes}


def test_tests_are_ordered_for_each_firmware_from_the_features_of_the_commit(tmp_path: Path) -> None:
    context = installation(tmp_path)
    give_features(context, firmwares=("bios", "secure-boot"))
    head = commit(context.paths, "live", {**FILES, "features/boot.feature": FEATURE, "features/menu.png": "x"})
    commit(context.paths, "live", {**FILES, "features/boot.feature": "Feature: later\n"})
    orders = orders_of_tests(context.database, context.ground(), built(head))
    assert [order.inputs["firmware"] for order in orders] == ["bios", "secure-boot"]
    assert [order.title for order in orders] == ["test petrel-1 (bios)", "test petrel-1 (secure-boot)"]
    with tarfile.open(fileobj=io.BytesIO(context.objects.read(Sha256(str(orders[0].inputs["features"]))))) as tar:
        assert tar.getnames() == ["features/boot.feature", "features/menu.png"]
        file = tar.extractfile("features/boot.feature")
        assert file is not None
        assert file.read().decode() == FEATURE
    assert set(orders[0].inputs) == set(SAMPLE)
    assert orders[0].holds
    again = orders_of_tests(context.database, context.ground(), built(head))
    assert [order.digest for order in again] == [order.digest for order in orders]
    asked = orders_of_tests(context.database, context.ground(), built(head), Chosen(("uefi",), asked="2026-01-01"))
    assert [order.inputs["firmware"] for order in asked] == ["uefi"]
    assert asked[0].inputs["asked"] == "2026-01-01"


def test_the_tests_of_a_topic_know_what_its_base_has_in_quarantine(tmp_path: Path) -> None:
    context = installation(tmp_path)
    give_features(context)
    base = commit(context.paths, "live", {**FILES, "features/boot.feature": FEATURE, "features/menu.png": "x"})
    tagged = FEATURE.replace("  Scenario", "  @quarantine\n  Scenario")
    topic = commit(context.paths, "live", {**FILES, "features/boot.feature": tagged}, branch="topic")
    body = built(topic, base_branch="main", base_commit=base)
    [order] = orders_of_tests(context.database, context.ground(), body)
    with tarfile.open(fileobj=io.BytesIO(context.objects.read(Sha256(str(order.inputs["base_features"]))))) as tar:
        assert tar.getnames() == ["base-features/boot.feature"]
        file = tar.extractfile("base-features/boot.feature")
        assert file is not None
        assert file.read().decode() == FEATURE
    plan, without = plan_scenarios({**SAMPLE, "base_features": ROOT}, EARLIER), plan_scenarios(SAMPLE, EARLIER)
    assert plan.place == {**without.place, "base.tar": ROOT}
    assert plan_boot({**SAMPLE, "base_features": ROOT}, EARLIER) == plan_boot(SAMPLE, EARLIER)


def test_a_base_without_features_has_nothing_in_quarantine(tmp_path: Path) -> None:
    context = installation(tmp_path)
    base = commit(context.paths, "live", FILES)
    with tarfile.open(fileobj=io.BytesIO(features_before(context.paths.repo("live"), base, ["features"]))) as tar:
        assert tar.getnames() == ["base-features/none"]


def test_an_upgrade_is_tried_where_there_is_a_kit_to_the_very_image(tmp_path: Path) -> None:
    context = installation(tmp_path)
    give_features(context)
    head = commit(context.paths, "live", {**FILES, "features/boot.feature": FEATURE})
    chosen = Chosen(upgrade_from="petrel-0")
    with pytest.raises(NotFound, match=r"there is no kit from 'petrel-0' to petrel-1"):
        orders_of_tests(context.database, context.ground(), built(head), chosen)
    kit, usb = context.objects.put(b"a kit"), context.objects.put(b"usb")
    initial = Description("petrel", "main", Release("petrel-0", "0"))
    say_upgrade(context, initial, Upgrade(Release("petrel-1", "1"), "petrel-1.kit.tar", kit, 5))
    with pytest.raises(NotFound, match="no image petrel-0 was built here"):
        orders_of_tests(context.database, context.ground(), built(head), chosen)
    body = built(head, name="petrel-0", files={"petrel-0.iso": "a" * 64, "petrel-0.usb.img": str(usb)})
    with context.database.write() as tx:
        append_event(tx, Event(EventKind.IMAGE_BUILT, NOW, "petrel-0", body))
    [order] = orders_of_tests(context.database, context.ground(), built(head), chosen)
    assert order.inputs["upgrade"] == {"from": "petrel-0", "usb": usb, "kit": kit}
    with pytest.raises(NotFound, match=r"there is no kit from 'petrel-0' to petrel-2"):
        orders_of_tests(
            context.database, context.ground(), built(head, name="petrel-2", files={"petrel-2.iso": "a" * 64}), chosen
        )


def test_an_image_without_features_or_of_another_installation_is_not_tested(tmp_path: Path) -> None:
    context = installation(tmp_path)
    head = commit(context.paths, "live", FILES)
    assert orders_of_tests(context.database, context.ground(), built(head)) == []
    give_features(context)
    assert orders_of_tests(context.database, context.ground(), built(head, image="other")) == []
    assert (
        orders_of_tests(context.database, context.ground(), {k: v for k, v in built(head).items() if k != "tools"})
        == []
    )
    with pytest.raises(NotFound, match="has no folder features"):
        orders_of_tests(context.database, context.ground(), built(head))


def test_tests_wait_for_the_snapshots_of_their_testers(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    give_features(context)
    head = commit(context.paths, "live", {**FILES, "features/boot.feature": FEATURE})
    with pytest.raises(NotReadyError):
        orders_of_tests(context.database, context.ground(), built(head))


def test_a_built_image_leads_to_its_tests(tmp_path: Path) -> None:
    context = installation(tmp_path)
    give_features(context)
    head = commit(context.paths, "live", {**FILES, "features/boot.feature": FEATURE})
    event = Event(EventKind.IMAGE_BUILT, NOW, "petrel-1", built(head), None)
    with context.write() as tx:
        append_event(tx, event)
        append_event(tx, replace(event, subject="x", body={**event.body, "image": "other"}))
        assert last_built(tx, "petrel") == event.body
        assert last_built(tx, "nobody") is None
    orders = scenarios_of_built_image(context.database, View(context.ground(), lambda _credential: b""), event)
    assert [order.kind for order in orders] == [KIND]


def test_features_of_several_folders_go_together_unless_a_name_is_there_twice() -> None:
    ours, more = {"boot.feature": b"1", "steps/ours.py": b"2"}, {"more.feature": b"3"}
    with tarfile.open(fileobj=io.BytesIO(features_tar({"a": ours, "b": more}))) as tar:
        assert tar.getnames() == ["features/boot.feature", "features/more.feature", "features/steps/ours.py"]
    with pytest.raises(BadInput, match=r"b/boot\.feature is in another folder"):
        features_tar({"a": ours, "b": {"boot.feature": b"4"}})
    with pytest.raises(NotFound, match="there is no feature in a"):
        features_tar({"a": {"boot.feature.orig": b"1", "picture.png": b"2"}})


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("below/boot.feature", r"a/below/boot\.feature would not be run"),
        ("environment.py", r"a/environment\.py would not be used"),
        ("steps/distwright.py", r"a/steps/distwright\.py would not be used"),
    ],
)
def test_what_would_be_passed_over_in_silence_is_refused_by_name(path: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        features_tar({"a": {"boot.feature": b"1", path: b"2"}})
    features_tar({"a": {"boot.feature": b"1", "below/environment.py": b"2", "steps/ours.py": b"3"}})
    features_tar({"a": {"boot.feature": b"1", "below/more.feature": b"2"}, "a/below": {"more.feature": b"2"}})


def test_what_the_driver_writes_beside_features_is_what_is_refused(tmp_path: Path) -> None:
    (tmp_path / "features").mkdir()
    write_beside(tmp_path / "features")
    written = {str(file.relative_to(tmp_path / "features")) for file in tmp_path.rglob("*.py")}
    for path in written:
        with pytest.raises(BadInput, match="would not be used"):
            features_tar({"a": {"boot.feature": b"1", path: b"2"}})
    assert len(written) == 2


def test_the_driver_is_packed_whole_and_the_same_each_time() -> None:
    content = driver_tar()
    assert driver_tar() == content
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        names = tar.getnames()
    assert {"driving/__init__.py", "driving/__main__.py", "driving/machine.py", "driving/steps.py"} <= set(names)
    assert all(name.endswith(".py") for name in names)
