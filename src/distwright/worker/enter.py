"""Enter a step of a job as a person: its files, its root and its programs, with a shell in their place."""

from collections.abc import Callable, Sequence

from distwright.errors import NotFound, Refused, quoted
from distwright.jobs.step import Action, Inputs, JobKind, Plan, Step, StepResult
from distwright.worker.context import JobContext
from distwright.worker.execute import known_result
from distwright.worker.runner import LocalRunner

SHELL = ("/bin/sh", "-i")


def step_to_enter(kind: JobKind, inputs: Inputs, context: JobContext, name: str | None = None) -> tuple[str, Plan]:
    """Plan a step again: the one of this name, or the first of which no result is known, as of one that failed.

    Steps before it must be known. Raises NotFound for a step that there is not, Refused for one that cannot be planned.
    """
    earlier: dict[str, StepResult] = {}
    names = [step.name for step in kind.steps if isinstance(step, Step)]
    if name is not None and name not in names:
        raise NotFound(f"{kind.kind.name} has no step {quoted(name)}", hint=f"name one of {', '.join(names)}")
    for step in kind.steps:
        if isinstance(step, Action):
            continue  # it starts no program, and doing it twice may do harm
        try:
            plan = step.plan(inputs, earlier)
        except KeyError as error:
            raise Refused(
                f"step {step.name} needs what {error} gave, which is not kept", hint="distwright job show JOB"
            ) from error
        known = None if step.repeat else known_result(context, LocalRunner(context).key(plan), step, plan)
        if step.name == name or (name is None and known is None and plan.commands):
            if not plan.commands:
                raise Refused(f"step {step.name} starts no program for this job", hint="name another with --step")
            return step.name, plan
        if known is None:
            if plan.commands:
                raise Refused(
                    f"step {step.name} has no result, so what comes after it cannot be entered",
                    hint=f"name --step {step.name}",
                )
            known = StepResult({})
        earlier[step.name] = known
    raise Refused(
        "every step of this job is known: nothing is left to be entered",
        hint=f"name one with --step: {', '.join(names)}",
    )


def enter(context: JobContext, plan: Plan, say: Callable[[str], None], program: Sequence[str] = SHELL) -> int:
    """Start a shell there; give its exit code. say: gets the command lines of the step."""
    return LocalRunner(context).enter(plan, program, say)
