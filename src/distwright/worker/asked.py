"""Actions that a worker on another machine asks the server for: they need a key for a moment, and no key leaves the server."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from distwright.errors import BadInput, DistwrightError, NotFound, WorkFailed
from distwright.jobs.step import Action, Earlier, JobKind, StepResult, Where
from distwright.model import plain
from distwright.model.digests import Json
from distwright.model.records import Job
from distwright.worker.context import JobContext
from distwright.worker.execute import OF_THE_WORK, OF_THE_WORLD, result_of, result_to_bytes

EARLIER_LIMIT_BYTES = 8 << 20
Act = Callable[[int, int, str, Json], Mapping[str, Json]]


@dataclass(slots=True)
class AskedContext(JobContext):
    """The context of an attempt elsewhere, whose log is there: what is said is given back to it."""

    said: list[str] = field(default_factory=list)

    def log(self, line: str) -> None:
        """Keep a line for the answer."""
        self.said.append(line)


def perform_asked(
    kinds: Mapping[str, JobKind], job: Job, step: str, asked: Json, context: AskedContext
) -> dict[str, Json]:
    """Do an action of a job for the host that holds it; give its result and what it said.

    asked: what the steps before it gave, as the host says. Raises NotFound for an action that nobody may ask for, BadInput, and
    what the action raises; but that the work itself is at fault is an answer.
    """
    kind = kinds.get(job.kind)
    if kind is None or kind.kind.version != job.version:
        raise NotFound(f"job {job.id} is of no kind that is known here", hint=f"distwright job show {job.id}")
    for one in kind.steps:
        if isinstance(one, Action) and one.name == step and one.where is Where.ASKED:
            try:
                result = one.perform(context, job.inputs, _earlier_of(asked))
            except OF_THE_WORLD:
                raise
            except OF_THE_WORK as error:
                return {"failed": [error.message, error.hint], "said": list(context.said)}
            return {"result": json.loads(result_to_bytes(result)), "said": list(context.said)}
    raise NotFound(
        f"{job.kind} has no action that a host may ask for by this name", hint=f"distwright job show {job.id}"
    )


def asker(context: JobContext, act: Act) -> Callable[[str, Earlier], StepResult]:
    """Give what asks the server for an action of an attempt on this machine; what it says goes into the log here."""

    def ask(step: str, earlier: Earlier) -> StepResult:
        asked: dict[str, Json] = {name: json.loads(result_to_bytes(result)) for name, result in earlier.items()}
        answer = act(context.job, context.fence, step, asked)
        for line in plain.texts(answer, "said"):
            context.log(line)
        if "failed" in answer:
            message, hint = plain.texts(answer, "failed")
            raise WorkFailed(f"{message} ({hint})", hint=f"distwright job log {context.job}, on the server")
        return _read_result(answer["result"])

    return ask


def _earlier_of(asked: Json) -> Earlier:
    return {name: _read_result(value) for name, value in plain.mapping({"earlier": asked}, "earlier").items()}


def _read_result(value: Json) -> StepResult:
    document: Any = value
    try:
        return result_of(document)
    except DistwrightError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(
            f"what a step gave cannot be read: {error}", hint="use the same version on both machines"
        ) from error
