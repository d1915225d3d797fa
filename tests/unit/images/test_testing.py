"""The test of an image as a job: its plans, what it says of what ran, and what it is ordered from."""

import io
import json
import os
import subprocess
import tarfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.habits.samples import EARLIER, INPUTS, ROOT, TAR, TREE
from tests.unit.images.test_outcomes import results
from tests.unit.images.test_resolve import FILES, installation
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.repos import commit
from tests.worlds.times import NOW

from distwright.archive.resolve import NotReadyError
from distwright.errors import BadInput, Lost, NotFound, WorkFailed
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
    packed,
    seconds_of,
)
from distwright.images.testing import (
    IMAGE_TEST,
    KIND,
    conclude,
    is_of_a_part,
    judge_boot,
    judge_scenarios,
    plan_boot,
    plan_scenarios,
    read,
)
from distwright.images.upgrades import say_upgrade
from distwright.jobs.lease import claim_next, holder_name
from distwright.jobs.order import JobOrder, place_order
from distwright.jobs.step import CommandEnd, Failure, StepEnd, StepResult
from distwright.model.digests import Json, Sha256
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import Outcome
from distwright.store.events import append_event
from distwright.store.holds import holds_of
from distwright.store.objects import READ_LIMIT_BYTES, FileObjects
from distwright.store.trials import list_trials

SAMPLE = INPUTS["image.test"]
PICTURE = b"\x89PNG\r\n\x1a\nxyz"
FEATURE = "Feature: Boot\n  Scenario: it greets\n    Given the machine has started\n"


def settings_of(templates: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(templates["settings.json"])
    return found


def test_the_boot_is_known_by_image_firmware_driver_and_testers_and_by_nothing_that_is_chosen() -> None:
    plan = plan_boot(SAMPLE, EARLIER)
    [command] = plan.commands
    assert (command.argv, command.root, command.timeout_s) == (("./test.sh", "boot"), ROOT, 9600)
    assert set(plan.place) == {"image", "vmlinuz", "driver.tar"}
    assert settings_of(plan.templates) == {
        "firmware": "uefi", "medium": "cd", "expect": "petrel greets you", "boot_limit_s": 900, "limit_s": 120, "memory_mb": 2048,
        "accelerator": "tcg,thread=multi", "cpus": 2, "user": "user", "password": "live",
    }  # fmt: skip
    chosen = {**SAMPLE, "features": ROOT, "chosen_features": ["Boot"], "workers": 4, "seconds": {}, "asked": "now"}
    assert plan_boot(chosen, EARLIER) == plan
    for key, value in (("iso", ROOT), ("firmware", "bios"), ("driver", ROOT)):
        assert plan_boot({**SAMPLE, key: value}, EARLIER) != plan


def test_a_machine_without_uefi_has_no_variables() -> None:
    assert "saved/variables.fd" in plan_boot(SAMPLE, EARLIER).collect
    assert "saved/variables.fd" not in plan_boot({**SAMPLE, "firmware": "bios"}, EARLIER).collect


def test_scenarios_begin_with_the_saved_machine_and_leave_what_they_have_however_they_end() -> None:
    plan = plan_scenarios({**SAMPLE, "chosen_features": ["Boot"], "workers": 3}, EARLIER)
    boot = EARLIER["boot"].outputs
    assert {name: digest for name, digest in plan.place.items() if name.startswith("saved/")} == {
        name: digest for name, digest in boot.items() if name.startswith("saved/")
    }
    assert (plan.place["features.tar"], plan.place["driver.tar"]) == (TREE, TAR)
    assert plan.collect == {}
    assert plan.collect_always == {"results": "out/results-*.json", "evidence": "out/evidence-*.tar"}
    settings = settings_of(plan.templates)
    assert (settings["features"], settings["scenarios"], settings["workers"]) == (["Boot"], [], 3)
    assert settings["seconds"] == {"Greeting: it greets": 4}


def test_an_upgrade_brings_the_image_before_and_the_kit_and_asks_for_no_other_boot() -> None:
    given = {**SAMPLE, "upgrade": {"from": "petrel-amd64-0.9", "usb": TREE, "kit": TAR}}
    assert plan_boot(given, EARLIER) == plan_boot(SAMPLE, EARLIER)
    plan, without = plan_scenarios(given, EARLIER), plan_scenarios(SAMPLE, EARLIER)
    assert plan.place == {**without.place, "before.img": TREE, "kit.tar": TAR}
    assert settings_of(plan.templates)["upgrade"] == ["petrel-amd64-0.9", "petrel-amd64-1.0"]
    assert "upgrade" not in settings_of(without.templates)


def end(cut: str = "", exit_code: int = 0, outputs: dict[str, Sha256] | None = None, *tail: str) -> StepEnd:
    return StepEnd(plan_scenarios(SAMPLE, EARLIER), (CommandEnd(exit_code, cut, tail),), outputs or {}, ())


def test_a_run_that_left_results_is_read_whatever_ended_it() -> None:
    left = {"results/results-0.json": ROOT}
    assert judge_scenarios(end(outputs=left)).outcome is Outcome.OK
    assert judge_scenarios(end("time limit of 14400 s", outputs=left)).outcome is Outcome.OK
    assert judge_scenarios(end("time limit of 14400 s")).outcome is Outcome.TIMED_OUT
    assert judge_scenarios(end("", 1, {"evidence/evidence-0.tar": ROOT})).outcome is Outcome.FAILED


def test_an_image_that_does_not_start_says_its_last_words() -> None:
    verdict = judge_boot(
        end("", 1, {"screen": ROOT}, "'login:' on the serial line: the machine has had 900 s", "Kernel panic")
    )
    assert verdict.outcome is Outcome.FAILED
    assert (
        verdict.message
        == "the image did not start: 'login:' on the serial line: the machine has had 900 s | Kernel panic"
    )
    assert IMAGE_TEST.conclude_failed is not None
    failure = Failure("boot", Outcome.FAILED, "boot: it did not start", {"screen": ROOT}, ())
    concluded = IMAGE_TEST.conclude_failed(SAMPLE, {}, failure, NOW, 3)
    assert concluded.outputs == {"left": {"screen": str(ROOT)}, "firmware": "uefi"}


def begin(context: WorldContext, asked: str) -> None:
    """Let an attempt of a test be the one that acts."""
    with context.database.write() as tx:
        place_order(tx, JobOrder(KIND, {**SAMPLE, "asked": asked}, "test petrel"), NOW)
    job = claim_next(context.database, ["local"], holder_name(), NOW)
    assert job is not None
    context.job, context.fence = job.id, job.fence


@pytest.fixture
def context(tmp_path: Path) -> WorldContext:
    """Give what an action has while its job runs."""
    made = make_context(tmp_path)
    begin(made, "before")
    return made


def left_by(context: WorldContext, *rows: dict[str, Any], evidence: bytes = b"") -> dict[str, StepResult]:
    outputs = {"results/results-0.json": context.objects.put(results(*rows))}
    if evidence:
        outputs["evidence/evidence-0.tar"] = context.objects.put(evidence)
    return {**EARLIER, "scenarios": StepResult(outputs)}


def test_a_good_image_gets_a_report_beside_it_and_an_event(context: WorldContext) -> None:
    earlier = left_by(
        context, {}, {"at": "boot.feature:9", "scenario": "it sleeps", "is_quarantined": True, "outcome": "failed"}
    )
    result = read(context, SAMPLE, earlier)
    folder = context.paths.public / "images" / "petrel-amd64-1.0-test-uefi"
    assert (folder / "report.html").read_bytes() == context.objects.read(result.outputs["report.html"])
    concluded = conclude(SAMPLE, {**earlier, "read": result}, NOW, 3)
    assert concluded.message == "scenarios: 1 passed, 1 failed"
    assert concluded.outputs["scenarios"] == {"Boot: it greets": "passed", "Boot: it sleeps": "failed"}
    [event] = concluded.events
    assert (event.kind, event.subject, event.body["firmware"]) == (EventKind.IMAGE_TESTED, "petrel-amd64-1.0", "uefi")
    assert (event.body["chosen_features"], event.body["chosen_scenarios"], "upgrade_from" in event.body) == (
        [], [], False,
    )  # fmt: skip
    with context.write() as tx:
        append_event(tx, event)  # its body is what the schema wants


def test_a_bad_image_is_named_by_its_scenarios_and_all_the_rest_is_kept_too(context: WorldContext) -> None:
    picture = packed({"boot-9/screen.png": b"\x89PNG\r\n\x1a\nxyz"})
    bad = {
        "at": "boot.feature:9",
        "scenario": "it sleeps",
        "outcome": "timed-out",
        "message": "why",
        "evidence": ["screen.png"],
    }
    rows: list[dict[str, Any]] = [{}, bad, {"at": "boot.feature:20", "scenario": "it dreams", "outcome": "not-run"}]
    with pytest.raises(
        WorkFailed,
        match=r"1 passed, 1 timed-out, 1 not-run; Boot: it sleeps \(timed-out\), Boot: it dreams \(not-run\)",
    ):
        read(context, SAMPLE, left_by(context, *rows, evidence=picture))
    shown = (context.paths.public / "images" / "petrel-amd64-1.0-test-uefi" / "report.html").read_text()
    assert "data:image/png;base64," in shown
    with context.database.read() as tx:
        found = {trial.subject: trial.outcome for trial in list_trials(tx, "scenario")}
        held = holds_of(tx, f"test {context.job}")
    assert found == {"petrel (uefi) Boot: it greets": Outcome.OK, "petrel (uefi) Boot: it sleeps": Outcome.TIMED_OUT}
    assert {hold.until for hold in held} == {context.now() + timedelta(days=90)}
    assert len(held) == 3


def test_the_report_says_how_a_scenario_ended_before(context: WorldContext) -> None:
    for asked, outcome in (("first", "passed"), ("second", "failed"), ("third", "failed")):
        begin(context, asked)
        other = {"at": "boot.feature:9", "scenario": "it sleeps"}
        read(context, SAMPLE, left_by(context, {"is_quarantined": True, "outcome": outcome}, other))
    shown = (context.paths.public / "images" / "petrel-amd64-1.0-test-uefi" / "report.html").read_text()
    assert "red in 1 of the last 2 runs" in shown
    with context.database.read() as tx:
        trials = list_trials(tx, "scenario", "petrel (uefi) Boot: it greets")
    assert [trial.outcome for trial in trials] == [Outcome.FAILED, Outcome.FAILED, Outcome.OK]
    assert seconds_of(trials, "petrel", "uefi") == {"Boot: it greets": 2}
    assert seconds_of(trials, "petrel", "bios") == {}


def test_a_chosen_part_says_so_and_its_report_takes_the_place_of_no_other(context: WorldContext) -> None:
    images, usual = context.paths.public / "images", "petrel-amd64-1.0-test-uefi"
    with pytest.raises(WorkFailed):
        read(context, SAMPLE, left_by(context, {"outcome": "failed"}))
    whole = (images / usual / "report.html").read_bytes()
    begin(context, "later")
    part = {**SAMPLE, "asked": "later", "chosen_scenarios": ["it greets"]}
    result = read(context, part, left_by(context, {}))
    assert result.values["folder"] == f"{usual}-{context.job}"
    assert (images / usual / "report.html").read_bytes() == whole
    assert "a chosen part of the scenarios: 1 passed" in (images / f"{usual}-{context.job}/report.html").read_text()
    concluded = conclude(part, {**EARLIER, "read": result}, NOW, 3)
    assert concluded.message == "a chosen part of the scenarios: 1 passed"
    assert concluded.events[0].body["chosen_scenarios"] == ["it greets"]
    with context.database.read() as tx:
        assert [trial.outcome for trial in list_trials(tx, "scenario")] == [Outcome.OK, Outcome.FAILED]


def test_an_upgrade_that_was_tried_is_told_and_has_a_report_of_its_own(context: WorldContext) -> None:
    given = {**SAMPLE, "asked": "now", "upgrade": {"from": "petrel-amd64-0.9", "usb": TREE, "kit": TAR}}
    result = read(context, given, left_by(context, {}))
    assert result.values["folder"] == f"petrel-amd64-1.0-test-uefi-{context.job}"
    [event] = conclude(given, {**EARLIER, "read": result}, NOW, 3).events
    assert event.body["upgrade_from"] == "petrel-amd64-0.9"


def test_evidence_of_any_size_is_read_piece_by_piece(context: WorldContext) -> None:
    earlier = left_by(
        context, {"outcome": "failed", "evidence": ["screen.png"]}, evidence=packed({"boot-3/screen.png": PICTURE})
    )
    assert isinstance(context.objects, FileObjects)
    file = context.objects.path(earlier["scenarios"].outputs["evidence/evidence-0.tar"])
    file.chmod(0o644)
    os.truncate(file, READ_LIMIT_BYTES + 1)  # holes: it takes no room
    with pytest.raises(WorkFailed):
        read(context, SAMPLE, earlier)
    shown = context.paths.public / "images" / "petrel-amd64-1.0-test-uefi" / "report.html"
    assert "data:image/png;base64," in shown.read_text()


def test_answers_are_kept_whatever_the_evidence_is_like(context: WorldContext) -> None:
    earlier = left_by(context, {"outcome": "failed"})
    earlier["scenarios"].outputs["evidence/evidence-0.tar"] = ROOT  # type: ignore[index]  # an object that is not there
    with pytest.raises(Lost):
        read(context, SAMPLE, earlier)
    with context.database.read() as tx:
        assert [trial.outcome for trial in list_trials(tx, "scenario")] == [Outcome.FAILED]


def test_what_is_unpacked_is_named_and_a_kit_is_not(tmp_path: Path) -> None:
    given = {**SAMPLE, "upgrade": {"from": "petrel-amd64-0.9", "usb": TREE, "kit": TAR}}
    for number, inputs in enumerate((given, {**given, "base_features": ROOT})):
        plan = plan_scenarios(inputs, EARLIER)
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "test.sh").write_text(plan.write["test.sh"].replace("exec python3 -B -m driving", "echo"))
        for name in (name for name in plan.place if name.endswith(".tar")):
            (folder / name).write_bytes(packed({f"of-{name}/x": b"x"}))
        subprocess.run(("sh", "./test.sh", "scenarios"), cwd=folder, check=True, capture_output=True)
        unpacked = {path.name for path in folder.iterdir() if path.is_dir()}
        assert unpacked == {"of-driver.tar", "of-features.tar", *(["of-base.tar"] if number else [])}
    assert plan_scenarios(SAMPLE, EARLIER).write == plan_boot(SAMPLE, EARLIER).write


def test_only_what_a_person_chose_is_a_part() -> None:
    assert not is_of_a_part({**SAMPLE, "asked": "now"})
    assert not is_of_a_part({**SAMPLE, "chosen_features": ["manual"]}), "the flow asks for all that an image needs"
    assert is_of_a_part({**SAMPLE, "asked": "now", "chosen_features": ["manual"]})


def test_results_that_cannot_be_read_are_an_error_of_the_work(context: WorldContext) -> None:
    outputs = {"results/results-0.json": context.objects.put(b"{}")}
    with pytest.raises(BadInput):
        read(context, SAMPLE, {**EARLIER, "scenarios": StepResult(outputs)})


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
