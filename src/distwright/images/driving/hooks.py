"""What behave calls: before and after all, and each scenario and step. Its own types are not there where our types are checked."""

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from .patience import DrivingError, OutOfPatience
from .results import FAILED, MESSAGE_LIMIT, PASSED, SKIPPED, TIMED_OUT, Results, Scenario
from .session import FRESH_TAG, UPGRADE_TAG, Session, Settings, bounded, is_for, is_quarantined, limit_of

QUARANTINE = "quarantine.json"
WORK, SAVED, WORKER = "DRIVING_WORK", "DRIVING_SAVED", "DRIVING_WORKER"  # in the environment of a worker


def before_all(context: Any) -> None:
    """Read the settings and begin to write results."""
    work, saved = Path(os.environ[WORK]), os.environ[SAVED]
    context.settings = Settings.read(work, Path(saved) if saved else None)
    context.features = work / "features"
    context.results = Results(work / "out", int(os.environ[WORKER]))
    context.quarantine = base_quarantine(work)


def before_scenario(context: Any, scenario: Any) -> None:
    """Give the scenario a machine. Whatever goes wrong with that, it has failed."""
    context.failed_step, context.failure, context.session = "", None, None
    context.began, context.start_s = time.monotonic(), 0.0
    context.folder = tempfile.TemporaryDirectory(prefix="scenario-", dir=os.environ[WORK], ignore_cleanup_errors=True)
    tags = [str(tag) for tag in scenario.effective_tags]
    if not is_for(tags, context.settings.hardware.firmware):
        scenario.skip("for another firmware")
        return
    if UPGRADE_TAG in tags and context.settings.upgrade is None:
        scenario.skip("there is no upgrade to try")
        return
    try:
        limit_s = limit_of(tags, context.settings.limit_s)
        context.session = Session(context.settings, Path(context.folder.name), limit_s)
        context.start_s = context.session.begin(fresh=FRESH_TAG in tags, upgrade=UPGRADE_TAG in tags)
    except DrivingError as error:
        context.failed_step, context.failure = "the start of the machine", error
        raise
    context.began = time.monotonic()


def after_step(context: Any, step: Any) -> None:
    """Note the step that failed. One that has no meaning never comes here."""
    if step.status.name == "failed":
        context.failed_step, context.failure = f"{step.keyword} {step.name}", step.exception


def after_scenario(context: Any, scenario: Any) -> None:
    """Write how it ended, with evidence if it was not well, and stop its machine."""
    evidence: dict[str, bytes] = {}
    outcome = _outcome(context, scenario)
    if context.session is not None:
        evidence = context.session.evidence() if outcome in (FAILED, TIMED_OUT) else bounded(context.session.kept)
        context.session.end()
    context.folder.cleanup()
    failed_step, message = context.failed_step, "" if context.failure is None else str(context.failure)
    undefined = [step for step in scenario.all_steps if step.status.name == "undefined"]
    if outcome == FAILED and not failed_step and undefined:
        failed_step, message = f"{undefined[0].keyword} {undefined[0].name}", "no step has this sentence"
    context.results.add(
        Scenario(
            feature=scenario.feature.name,
            scenario=scenario.name,
            at=place_of(scenario),
            outcome=outcome,
            is_quarantined=is_quarantined(
                scenario.effective_tags, f"{scenario.feature.name}: {scenario.name}", context.quarantine
            ),
            start_s=round(context.start_s, 2),
            seconds=round(time.monotonic() - context.began, 2),
            step=failed_step,
            message=message[-MESSAGE_LIMIT:],
            evidence=sorted(evidence),
        ),
        evidence,
    )


def base_quarantine(work: Path) -> list[str] | None:
    """Name the scenarios that are in quarantine on the base of the image's topic; None if it is of no topic."""
    file = work / QUARANTINE
    return json.loads(file.read_text()) if file.exists() else None


def place_of(scenario: Any) -> str:
    """Say where a scenario stands: `FILE.feature:LINE`."""
    return f"{Path(scenario.filename).name}:{scenario.line}"


def _outcome(context: Any, scenario: Any) -> str:
    if isinstance(context.failure, OutOfPatience):
        return TIMED_OUT
    return {"passed": PASSED, "skipped": SKIPPED}.get("failed" if context.failure else scenario.status.name, FAILED)
