"""Execute a job: its steps in order, known results reused, everything judged. Runs in the child process of one attempt."""

import contextlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from distwright.errors import (
    BadInput,
    Busy,
    DiskFailed,
    DistwrightError,
    Interrupted,
    Lost,
    NotFound,
    OutOfSpace,
    ProgramFailed,
    Refused,
    Unreachable,
    WorkFailed,
)
from distwright.formats.log_text import log_text
from distwright.jobs.keeping import has_stages, hold_for_attempt, hold_stage
from distwright.jobs.lease import Ending
from distwright.jobs.step import (
    Action,
    CommandEnd,
    Earlier,
    Failure,
    Fetched,
    Inputs,
    JobKind,
    Outputs,
    Plan,
    Step,
    StepEnd,
    StepResult,
    Verdict,
    Where,
)
from distwright.model.digests import Json, Sha256, canonical_json
from distwright.model.findings import Finding
from distwright.model.outcomes import Outcome
from distwright.store.holds import Hold, holds_on_all, object_hold, replace_holds
from distwright.store.jobs import find_step_result, keep_step_result
from distwright.worker.beside import Beside
from distwright.worker.builders import key_there
from distwright.worker.context import JobContext
from distwright.worker.far import carry_out
from distwright.worker.runner import LocalRunner
from distwright.worker.turns import turn_of

# Whose fault an error is: the work's own (never retried), or ours and the world's (retried later).
OF_THE_WORK = (WorkFailed, Refused, BadInput, NotFound)
OF_THE_WORLD = (Lost, Unreachable, ProgramFailed, OutOfSpace, DiskFailed, Busy)

_BOTH = 2  # processors


class StepFailedError(Exception):
    """A step was judged not ok."""

    def __init__(self, verdict: Verdict, outputs: Outputs) -> None:
        """Carry the verdict, and what the step left."""
        super().__init__(verdict.message)
        self.verdict = verdict
        self.outputs = outputs


def execute(kind: JobKind, inputs: Inputs, context: JobContext) -> Ending:
    """Run the steps of a job and say how it ended; raises nothing but for bugs, and where evidence cannot be kept."""
    earlier: dict[str, StepResult] = {}
    step_name = ""
    beside = Beside(context)
    try:
        for number, step in enumerate(kind.steps, start=1):
            step_name = step.name
            context.check_cancelled()
            context.tell(json.dumps({"step": [step.name, number, len(kind.steps)]}))
            context.log(f"== {step.name} ({number} of {len(kind.steps)})")
            _begin_beside(beside, kind, step.name, inputs, earlier)
            if beside.join(step.name):
                context.log(f"{step.name} was made beside, as its log tells")
            counts_uses = has_stages(kind.kind)
            earlier[step.name] = _perform(step, inputs, earlier, context, counts_uses=counts_uses, remove=beside.remove)
            _hold(earlier[step.name], context)
        conclusion = kind.conclude(inputs, earlier, context.now(), context.job)
    except StepFailedError as failed:
        return _concluded_failed(kind, inputs, earlier, _failure(step_name, failed, earlier), context)
    except Interrupted:
        return _ended(context, earlier, Outcome.CANCELLED, f"cancelled in step {step_name}")
    except OF_THE_WORLD as error:
        return _ended(context, earlier, Outcome.BROKEN, f"{step_name}: {error.message} ({error.hint})")
    except OF_THE_WORK as error:
        return _ended(context, earlier, Outcome.FAILED, f"{step_name}: {error.message} ({error.hint})")
    except DistwrightError as error:
        return _ended(context, earlier, Outcome.BROKEN, f"{step_name}: {error.message} ({error.hint})")
    finally:
        beside.end()
    ending = _ended(context, earlier, Outcome.OK, conclusion.message)
    return replace(ending, outputs=conclusion.outputs, events=conclusion.events, heir=conclusion.heir)


def _ended(context: JobContext, earlier: Earlier, outcome: Outcome, message: str) -> Ending:
    context.log(f"{outcome}: {message}")
    return Ending(outcome, message, evidence=_kept_findings(_findings(earlier), context))


def _failure(step: str, failed: StepFailedError, earlier: Earlier) -> Failure:
    verdict = failed.verdict
    findings = (*_findings(earlier), *verdict.findings)
    return Failure(step, verdict.outcome, f"{step}: {verdict.message}", failed.outputs, findings, verdict.stage)


def _concluded_failed(kind: JobKind, inputs: Inputs, earlier: Earlier, failure: Failure, context: JobContext) -> Ending:
    """Keep what a failed step left as evidence, and let the kind say what follows from it."""
    context.log(f"{failure.outcome}: {failure.message}")
    left = {f"{failure.step}/{name}": digest for name, digest in failure.outputs.items()}
    evidence = left | _kept_findings(failure.findings, context)
    ending = Ending(failure.outcome, failure.message, evidence=evidence)
    if kind.conclude_failed is None or failure.outcome in (Outcome.BROKEN, Outcome.CANCELLED):
        return ending
    concluded = kind.conclude_failed(inputs, earlier, failure, context.now(), context.job)
    return replace(
        ending, message=concluded.message, outputs=concluded.outputs, events=concluded.events, heir=concluded.heir
    )


def _findings(earlier: Earlier) -> tuple[Finding, ...]:
    return tuple(finding for result in earlier.values() for finding in result.findings)


def _kept_findings(findings: Sequence[Finding], context: JobContext) -> dict[str, Sha256]:
    return {"findings": context.objects.put(canonical_json(_findings_to_json(findings)))} if findings else {}


def _begin_beside(beside: Beside, kind: JobKind, begun: str, inputs: Inputs, earlier: Earlier) -> None:
    """Begin what need not wait for the step that begins, if there are processors for both and it is not known."""
    if len(os.sched_getaffinity(0)) < _BOTH:
        return
    for step in (each for each in kind.steps if isinstance(each, Step) and each.beside == begun):
        with contextlib.suppress(DistwrightError):  # what is wrong with it is said in its turn
            plan = step.plan(inputs, earlier)
            if known_result(beside.context, LocalRunner(beside.context).key(plan), step, plan) is None:
                beside.begin(step.name, partial(_perform, step, inputs, earlier, counts_uses=has_stages(kind.kind)))


def _perform(
    step: Step | Action, inputs: Inputs, earlier: Earlier, context: JobContext, *, counts_uses: bool,
    remove: Callable[[Path], None] | None = None,
) -> StepResult:  # fmt: skip
    """Perform a step, or find what it gave before. counts_uses: note that this job uses the result. remove: see LocalRunner."""
    if isinstance(step, Action):
        if step.where is Where.ASKED and context.ask is not None:
            return context.ask(step.name, earlier)
        return step.perform(context, inputs, earlier)
    plan = step.plan(inputs, earlier)
    runner = LocalRunner(context, remove)
    key = runner.key(plan)
    if step.repeat:
        return _run(step, plan, runner, key, context)
    if counts_uses:  # first: what is known must not be dropped while it is looked at
        with context.database.write() as tx:
            for one in _keys(key, context):
                hold_stage(tx, context.job, one, step.name, context.now())
    known = known_result(context, key, step, plan)
    if known is None:
        with turn_of(context.paths.root / "run" / "turns", key, context.check_cancelled):
            known = known_result(context, key, step, plan)  # another job may have made it meanwhile
            if known is None:
                return _run(step, plan, runner, key, context)
    context.log(f"{step.name} is known already ({key.short})")
    return known


def _run(step: Step, plan: Plan, runner: LocalRunner, key: Sha256, context: JobContext) -> StepResult:
    carried = carry_out(step.name, plan, step.judge, runner, context)
    end, verdict = carried.end, carried.verdict
    if carried.builder:
        key = key_there(key, carried.builder)
    if verdict.outcome is not Outcome.OK:
        raise StepFailedError(verdict, end.outputs)
    result = StepResult(end.outputs, end.fetched, findings=tuple(verdict.findings))
    if not step.repeat:
        kept = context.objects.put(result_to_bytes(result, end.ends))
        with context.database.write() as tx:
            keep_step_result(tx, key, step.name, kept, context.now())
            replace_holds(tx, f"step {key}", [object_hold("", kept, "result"), *_needed(result)], context.now())
    return result


def _hold(result: StepResult, context: JobContext) -> None:
    """Hold what a step gave as long as later steps may need it: known results may be dropped meanwhile, others nobody holds."""
    if needed := _needed(result):
        with context.database.write() as tx:
            hold_for_attempt(tx, context.job, context.fence, needed, context.now())


def _needed(result: StepResult) -> list[Hold]:
    fetched = {f"{file.archive}/{file.suite}/{file.path}": str(file.sha256) for file in result.fetched}
    return [*holds_on_all(dict(result.outputs)), *holds_on_all(fetched)]


def known_result(context: JobContext, key: Sha256, step: Step, plan: Plan) -> StepResult | None:
    """Find what a plan gave before, judged as the step is judged today: the judge is no part of the key, and may have changed.

    Here, or on a builder that this job may be on as well.
    """
    with context.database.read() as tx:
        kept = [find_step_result(tx, one) for one in _keys(key, context)]
    found = (_judged_again(context, digest, step, plan) for digest in kept if digest is not None)
    return next((result for result in found if result is not None), None)


def _keys(key: Sha256, context: JobContext) -> list[Sha256]:
    """Give the keys of results that a job may use: of what was made here, and of what its builders made."""
    return [key, *(key_there(key, builder.name) for builder in context.builders)]


def _judged_again(context: JobContext, digest: Sha256, step: Step, plan: Plan) -> StepResult | None:
    if not context.objects.touch(digest):
        return None
    document = json.loads(context.objects.read(digest))
    result = result_of(document)
    verdict = step.judge(
        StepEnd(plan, _ends_of(document, plan), result.outputs, result.fetched, _log_of(context, plan, result))
    )
    if verdict.outcome is not Outcome.OK or not all(
        context.objects.touch(Sha256(hold.target)) for hold in _needed(result)
    ):
        return None
    return replace(result, findings=tuple(verdict.findings))


def _log_of(context: JobContext, plan: Plan, result: StepResult) -> str:
    digest = result.outputs.get(plan.keep_log)
    if digest is None or not context.objects.touch(digest):  # then the result is not used either
        return ""
    with context.objects.open(digest) as file:
        return log_text(file)


def result_to_bytes(result: StepResult, ends: Sequence[CommandEnd] = ()) -> bytes:
    """Write what a step gave, and how its commands ended."""
    fetched: list[Json] = [
        [file.archive, file.suite, file.path, file.sha256, file.size_bytes] for file in result.fetched
    ]
    return canonical_json(
        {
            "outputs": dict(result.outputs),
            "fetched": fetched,
            "values": result.values,
            "findings": _findings_to_json(result.findings),
            "ends": [[end.exit_code, end.cut, list(end.tail)] for end in ends],
        }
    )


def _findings_to_json(findings: Sequence[Finding]) -> list[Json]:
    return [{"kind": one.kind, "key": one.key, "subject": one.subject, "evidence": one.evidence} for one in findings]


def result_of(document: Mapping[str, Any]) -> StepResult:
    """Read what `result_to_bytes` wrote."""
    outputs = {name: Sha256(digest) for name, digest in document["outputs"].items()}
    fetched = tuple(
        Fetched(archive, suite, path, Sha256(sha256), size)
        for archive, suite, path, sha256, size in document["fetched"]
    )
    findings = tuple(Finding(**finding) for finding in document["findings"])
    return StepResult(outputs, fetched, document["values"], findings)


def _ends_of(document: Mapping[str, Any], plan: Plan) -> tuple[CommandEnd, ...]:
    """Say how the commands ended; version 0.1.0 did not keep it, and knew results of commands that all ended well only."""
    if "ends" not in document:
        return tuple(CommandEnd(0, "", ()) for _ in plan.commands)
    return tuple(CommandEnd(exit_code, cut, tuple(tail)) for exit_code, cut, tail in document["ends"])
