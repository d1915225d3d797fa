"""Execute a job: its steps in order, known results reused, everything judged. Runs in the child process of one attempt."""

import json
from collections.abc import Mapping

from distwright.errors import (
    BadInput,
    Busy,
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
from distwright.jobs.lease import Ending
from distwright.jobs.step import Action, Fetched, Inputs, JobKind, Step, StepResult
from distwright.model.digests import Json, Sha256, canonical_json
from distwright.model.outcomes import Outcome
from distwright.store.jobs import find_step_result, keep_step_result
from distwright.worker.context import JobContext
from distwright.worker.runner import LocalRunner

# Whose fault an error is: the work's own (never retried), or ours and the world's (retried later).
_OF_THE_WORK = (WorkFailed, Refused, BadInput, NotFound)
_OF_THE_WORLD = (Lost, Unreachable, ProgramFailed, OutOfSpace, Busy)


class StepFailedError(Exception):
    """A step was judged not ok."""

    def __init__(self, outcome: Outcome, message: str) -> None:
        """Carry the verdict."""
        super().__init__(message)
        self.outcome = outcome
        self.message = message


def execute(kind: JobKind, inputs: Inputs, context: JobContext) -> Ending:
    """Run the steps of a job and say how it ended; raises nothing."""
    earlier: dict[str, StepResult] = {}
    step_name = ""
    try:
        for number, step in enumerate(kind.steps, start=1):
            step_name = step.name
            context.check_cancelled()
            context.tell(json.dumps({"step": [step.name, number, len(kind.steps)]}))
            context.log(f"== {step.name} ({number} of {len(kind.steps)})")
            earlier[step.name] = _perform(step, inputs, earlier, context)
        conclusion = kind.conclude(inputs, earlier, context.now(), context.job)
    except StepFailedError as failed:
        return _ended(context, failed.outcome, f"{step_name}: {failed.message}")
    except Interrupted:
        return _ended(context, Outcome.CANCELLED, f"cancelled in step {step_name}")
    except _OF_THE_WORLD as error:
        return _ended(context, Outcome.BROKEN, f"{step_name}: {error.message} ({error.hint})")
    except _OF_THE_WORK as error:
        return _ended(context, Outcome.FAILED, f"{step_name}: {error.message} ({error.hint})")
    except DistwrightError as error:
        return _ended(context, Outcome.BROKEN, f"{step_name}: {error.message} ({error.hint})")
    context.log(f"ok: {conclusion.message}")
    return Ending(Outcome.OK, conclusion.message, conclusion.outputs, conclusion.events)


def _ended(context: JobContext, outcome: Outcome, message: str) -> Ending:
    context.log(f"{outcome}: {message}")
    return Ending(outcome, message)


def _perform(step: Step | Action, inputs: Inputs, earlier: Mapping[str, StepResult], context: JobContext) -> StepResult:
    if isinstance(step, Action):
        return step.perform(context, inputs, earlier)
    plan = step.plan(inputs, earlier)
    runner = LocalRunner(context)
    key = runner.key(plan)
    known = None if step.repeat else _known_result(context, key)
    if known is not None:
        context.log(f"{step.name} is known already ({key.short})")
        return known
    end = runner.run(step.name, plan)
    verdict = step.judge(end)
    if verdict.outcome is not Outcome.OK:
        raise StepFailedError(verdict.outcome, verdict.message)
    result = StepResult(end.outputs, end.fetched)
    kept = context.objects.put(_to_bytes(result))
    with context.database.write() as tx:
        keep_step_result(tx, key, step.name, kept, context.now())
    return result


def _known_result(context: JobContext, key: Sha256) -> StepResult | None:
    with context.database.read() as tx:
        digest = find_step_result(tx, key)
    if digest is None or not context.objects.has(digest):
        return None
    result = _from_bytes(context.objects.read(digest))
    needed = (
        *result.outputs.values(),
        *(file.sha256 for file in result.fetched),
    )  # later steps read what was fetched, too
    return result if all(map(context.objects.has, needed)) else None


def _to_bytes(result: StepResult) -> bytes:
    fetched: list[Json] = [
        [file.archive, file.suite, file.path, file.sha256, file.size_bytes] for file in result.fetched
    ]
    return canonical_json({"outputs": dict(result.outputs), "fetched": fetched, "values": result.values})


def _from_bytes(content: bytes) -> StepResult:
    document = json.loads(content)
    outputs = {name: Sha256(digest) for name, digest in document["outputs"].items()}
    fetched = tuple(
        Fetched(archive, suite, path, Sha256(sha256), size)
        for archive, suite, path, sha256, size in document["fetched"]
    )
    return StepResult(outputs, fetched, document["values"])
