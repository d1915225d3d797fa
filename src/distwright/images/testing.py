"""The test of an image: started once, saved, and each scenario of its features from there, in the root of its testers.

Whatever is said of the image is said by what ran; a scenario that did not run is no good one.
"""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta

from distwright.builds.environment import environment_step, root_of
from distwright.errors import WorkFailed
from distwright.images.driving.session import BEFORE, UPGRADE_KIT
from distwright.images.outcomes import (
    OUTCOMES,
    RESULTS_LIMIT_BYTES,
    ScenarioEnd,
    evidence_of,
    parse_results,
    verdict_of,
)
from distwright.images.public import show_image
from distwright.images.report import report
from distwright.jobs.step import (
    Action,
    Conclusion,
    Context,
    Earlier,
    Failure,
    Inputs,
    JobKind,
    KindName,
    Plan,
    PlannedCommand,
    Step,
    StepEnd,
    StepResult,
    Verdict,
    judge_by_exit,
)
from distwright.model import plain
from distwright.model.digests import Json, Sha256, digest_of
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import Outcome
from distwright.model.records import Trial
from distwright.store.database import Transaction
from distwright.store.holds import holds_on_all, replace_holds
from distwright.store.jobs import find_job
from distwright.store.trials import list_trials, set_trial
from distwright.tools.qemu import EMULATION

KIND = KindName("image.test", 1)
QUESTION = "scenario"
REPORT = "report.html"
USER, PASSWORD = "user", "live"  # live-config(7)
EVIDENCE_KEEP = timedelta(days=90)
HISTORY_SHOWN = 10
_WALL_FACTOR, _STARTING_S = 10, 600  # of driving/patience.py, and for what is no part of it
_SAVED = ("state.zst", "serial.txt", "packets.pcap", "made.json")
_VARIABLES = "variables.fd"  # with UEFI only
_SCRIPT = """#!/bin/sh
set -eu
for tar in *.tar; do tar --extract --no-same-owner --file "$tar"; done
exec python3 -B -m driving "$1"
"""

# inputs: image, name, commit, iso, vmlinuz (of the image), firmware, medium, testers (recipe), driver and features
# (tars), expect, boot_limit_s, limit_s, timeout_s, memory_mb, workers, and what is chosen: chosen_features, chosen_scenarios
# (empty: all); seconds (`FEATURE: SCENARIO` -> how long it took last time); asked: when a person wanted it again (absent: nobody);
# base_features: a tar with those of a topic's base, whose tags of quarantine count (absent: the image is of no topic);
# upgrade: from (name), usb (that image for sticks), kit (from it to this one; absent: none is tried).


def _plan(inputs: Inputs, earlier: Earlier, word: str, timeout_s: int) -> Plan:
    """Plan a run of the driver. It has the image, its kernel, and what the settings say; no path and no host program counts."""
    settings: dict[str, Json] = {
        **{key: inputs[key] for key in ("firmware", "medium", "expect", "boot_limit_s", "limit_s", "memory_mb")},
        "accelerator": EMULATION, "cpus": 2, "user": USER, "password": PASSWORD,
    }  # fmt: skip
    if word == "scenarios":
        settings |= {"features": inputs["chosen_features"], "scenarios": inputs["chosen_scenarios"]}
        settings |= {"workers": inputs["workers"], "seconds": inputs["seconds"]}
        if "upgrade" in inputs:
            settings |= {"upgrade": [plain.mapping(inputs, "upgrade")["from"], inputs["name"]]}
    command = PlannedCommand(("./test.sh", word), timeout_s, root=root_of(earlier["testers"]))
    return Plan(
        (command,),
        place={
            key: plain.digest(inputs, name)
            for key, name in (("image", "iso"), ("vmlinuz", "vmlinuz"), ("driver.tar", "driver"))
        },
        write={"test.sh": _SCRIPT},
        templates={"settings.json": json.dumps(settings, indent=1, sort_keys=True)},
    )


def plan_boot(inputs: Inputs, earlier: Earlier) -> Plan:
    """Plan the start of the image, and the saving of the machine. Known for an image, a firmware, a driver and testers."""
    plan = _plan(inputs, earlier, "boot", plain.number(inputs, "boot_limit_s") * _WALL_FACTOR + _STARTING_S)
    names = (*_SAVED, *((_VARIABLES,) if inputs["firmware"] != "bios" else ()))
    always = {"console": "out/serial.txt", "screen": "out/screen.png"}
    return Plan(
        plan.commands, plan.place, plan.write, plan.templates,
        collect={f"saved/{name}": f"saved/{name}" for name in names}, collect_always=always,
    )  # fmt: skip


def plan_scenarios(inputs: Inputs, earlier: Earlier) -> Plan:
    """Plan the scenarios, from the saved machine. What they leave is kept however they end."""
    plan = _plan(inputs, earlier, "scenarios", plain.number(inputs, "timeout_s"))
    more = {name: digest for name, digest in earlier["boot"].outputs.items() if name.startswith("saved/")}
    more["features.tar"] = plain.digest(inputs, "features")
    if "base_features" in inputs:
        more["base.tar"] = plain.digest(inputs, "base_features")
    write = dict(plan.write)
    if "upgrade" in inputs:
        upgrade = plain.mapping(inputs, "upgrade")
        ours = sorted(name for name in (*plan.place, *more) if name.endswith(".tar"))
        write["test.sh"] = _SCRIPT.replace("*.tar", " ".join(ours))  # the kit is a tar, too, and is a disk as it is
        more |= {BEFORE: plain.digest(upgrade, "usb"), UPGRADE_KIT: plain.digest(upgrade, "kit")}
    return Plan(
        plan.commands, {**plan.place, **more}, write, plan.templates,
        collect_always={"results": "out/results-*.json", "evidence": "out/evidence-*.tar"},
    )  # fmt: skip


def judge_boot(end: StepEnd) -> Verdict:
    """Judge the start: the driver has said why it failed, and what was last on the console."""
    verdict = judge_by_exit(end)
    last = " | ".join(end.ends[-1].tail[-8:]) if end.ends else ""
    return (
        replace(verdict, message=f"the image did not start: {last}")
        if verdict.outcome is Outcome.FAILED and last
        else verdict
    )


def judge_scenarios(end: StepEnd) -> Verdict:
    """Judge the run: whatever there are results of can be read, also when its time was over; those say of the image."""
    if any(name.startswith("results/") for name in end.outputs):
        return Verdict(Outcome.OK, "scenarios were run")
    return judge_by_exit(end)


def read(context: Context, inputs: Inputs, earlier: Earlier) -> StepResult:
    """Read what each scenario gave, keep it as an answer of its own, and publish the report. Raises WorkFailed for a bad image.

    The answers first: whatever the evidence is like, what ran has ended so. Memory: `outcomes.EVIDENCE_LIMIT_BYTES` and the report.
    """
    left = earlier["scenarios"].outputs
    results = {name: digest for name, digest in left.items() if name.startswith("results/")}
    archives = {name: digest for name, digest in left.items() if name.startswith("evidence/")}
    scenarios = parse_results(_beginning(context, digest) for _, digest in sorted(results.items()))
    name, firmware, now = plain.text(inputs, "name"), plain.text(inputs, "firmware"), context.now()
    with context.database.read() as tx:
        earlier_ends = {
            one.name: list_trials(tx, QUESTION, subject_of(inputs, one), limit=HISTORY_SHOWN) for one in scenarios
        }
    history = {scenario: history_of(trials) for scenario, trials in earlier_ends.items()}
    with context.write() as tx:
        _note(tx, context, inputs, scenarios, now)
    evidence = _evidence(context, [digest for _, digest in sorted(archives.items())])
    content = report(
        name, firmware, scenarios, evidence, history, job=context.job or 0, at=now, is_part=is_of_a_part(inputs)
    )
    files: dict[str, Sha256] = {REPORT: context.objects.put(content)}
    with context.write() as tx:
        held = holds_on_all({**files, **results, **archives})
        replace_holds(tx, holder_of(context), [replace(hold, until=now + EVIDENCE_KEEP) for hold in held], now)
    folder = report_folder(inputs, context.job or 0)
    show_image(context.paths.public / "images", folder, files, context.objects)
    outcome, verdict = verdict_of(scenarios, is_part=is_of_a_part(inputs))
    if outcome is not Outcome.OK:
        raise WorkFailed(verdict, hint=f"look at images/{folder}/{REPORT}")
    values: dict[str, Json] = {
        "verdict": verdict, "report": str(files[REPORT]), "folder": folder,
        "scenarios": {one.name: one.outcome for one in scenarios},
    }  # fmt: skip
    return StepResult(files, values=values)


def _beginning(context: Context, digest: Sha256) -> bytes:
    """Give results, or what is too long for any."""
    with context.objects.open(digest) as file:
        return file.read(RESULTS_LIMIT_BYTES + 1)


def _evidence(context: Context, archives: Sequence[Sha256]) -> dict[str, bytes]:
    with ExitStack() as opened:
        return evidence_of(opened.enter_context(context.objects.open(digest)) for digest in archives)


def is_of_a_part(inputs: Inputs) -> bool:
    """Say whether a person chose what ran: that is no answer about the image, whatever it gives.

    What the flow chooses for an image is all that it needs (`documentation`), and is its answer.
    """
    return "asked" in inputs and bool(inputs.get("chosen_features") or inputs.get("chosen_scenarios"))


def upgrade_tried(inputs: Inputs) -> str:
    """Name the image from which an upgrade was tried, "" if none was: such a run answers another question."""
    return plain.text(plain.mapping(inputs, "upgrade"), "from") if "upgrade" in inputs else ""


def report_folder(inputs: Inputs, job: int) -> str:
    """Name the public folder of a report: one for each firmware, and one for each run of a part or with an upgrade."""
    usual = f"{plain.text(inputs, 'name')}-test-{plain.text(inputs, 'firmware')}"
    return f"{usual}-{job}" if is_of_a_part(inputs) or upgrade_tried(inputs) else usual


def subject_of(inputs: Inputs, end: ScenarioEnd) -> str:
    """Name a scenario of an image, as its answers are kept."""
    return f"{subjects_of(plain.text(inputs, 'image'), plain.text(inputs, 'firmware'))}{end.name}"


def subjects_of(image: str, firmware: str) -> str:
    """Give what the names of all scenarios of an image with a firmware begin with."""
    return f"{image} ({firmware}) "


def history_of(trials: Sequence[Trial]) -> str:
    """Say how a scenario ended in the last runs (pure); "" if there were none."""
    red = sum(trial.outcome in (Outcome.FAILED, Outcome.TIMED_OUT) for trial in trials)
    return f"red in {red} of the last {len(trials)} runs" if trials else ""


def holder_of(context: Context) -> str:
    """Name who holds what a test left."""
    return f"test {context.job}"


def _note(tx: Transaction, context: Context, inputs: Inputs, scenarios: Sequence[ScenarioEnd], now: datetime) -> None:
    """Keep how each scenario ended, once for each attempt; one that did not run has no answer."""
    job = None if context.job is None else find_job(tx, context.job)
    if job is None:
        return
    for end in (end for end in scenarios if end.outcome in OUTCOMES):
        subject = subject_of(inputs, end)
        order = digest_of(
            {"order": job.digest, "job": job.id, "fence": context.fence, "scenario": subject, "at": end.at}
        )
        answer = Trial(
            id=0, question=QUESTION, subject=subject, version=plain.text(inputs, "name"), commit=plain.text(inputs, "commit"),
            states={}, order=order, job=job.id, outcome=OUTCOMES[end.outcome], message=end.message[-500:],
            took_s=round(end.seconds), at=now,
        )  # fmt: skip
        set_trial(tx, answer)


def conclude(inputs: Inputs, earlier: Earlier, now: datetime, job: int) -> Conclusion:
    """Announce that the image has passed, and by what: chosen features and scenarios, both empty if by all."""
    values = earlier["read"].values
    body: dict[str, Json] = {
        key: inputs[key] for key in ("image", "name", "iso", "firmware", "chosen_features", "chosen_scenarios")
    }
    if source := upgrade_tried(inputs):
        body["upgrade_from"] = source
    event = Event(EventKind.IMAGE_TESTED, now, plain.text(inputs, "name"), {**body, "report": values["report"]}, job)
    return Conclusion(dict(values), plain.text(values, "verdict"), [event])


def conclude_failed(inputs: Inputs, _earlier: Earlier, failure: Failure, _now: datetime, _job: int) -> Conclusion:
    """Name what an image that did not start has left: its console and its screen."""
    left: dict[str, Json] = {name: str(digest) for name, digest in failure.outputs.items()}
    return Conclusion({"left": left, "firmware": inputs["firmware"]}, failure.message)


IMAGE_TEST = JobKind(
    KIND,
    (
        environment_step("testers", "testers"),
        Step("boot", plan_boot, judge_boot),
        Step("scenarios", plan_scenarios, judge_scenarios, repeat=True),
        Action("read", read),
    ),
    conclude,
    conclude_failed,
)
