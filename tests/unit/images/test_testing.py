"""The test of an image as a job: its plans, and what it says of what ran."""

import json
import os
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.habits.samples import EARLIER, INPUTS, ROOT, TAR, TREE
from tests.unit.images.test_outcomes import results
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.times import NOW

from distwright.errors import BadInput, Lost, WorkFailed
from distwright.images.scenarios import packed, seconds_of
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
from distwright.jobs.lease import claim_next, holder_name
from distwright.jobs.order import JobOrder, place_order
from distwright.jobs.step import CommandEnd, Failure, StepEnd, StepResult
from distwright.model.digests import Sha256
from distwright.model.events import EventKind
from distwright.model.outcomes import Outcome
from distwright.store.events import append_event
from distwright.store.holds import holds_of
from distwright.store.objects import READ_LIMIT_BYTES, FileObjects
from distwright.store.trials import list_trials

SAMPLE = INPUTS["image.test"]
PICTURE = b"\x89PNG\r\n\x1a\nxyz"


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
