"""Whose fault it is that a build ended badly, and what to tell a person of it in one line.

What can be trusted? A build prints what it likes, so nothing that it printed decides whether it is tried again. That follows from
how sbuild's process ended (the exit codes of our wrapper, limiting_builds.py) and from what we ended ourselves. sbuild runs as the
sandbox user outside of the build's user and pid namespaces; a build can neither signal nor trace it, nor write to its files. Only
texts that a build cannot take back are asked: that dpkg-buildpackage has begun, and what apt said before. So the worst
that a package can do is to have itself called FAILED for a wrong reason.
"""

from datetime import datetime

from distwright.builds.first_error import FirstError, first_error, has_begun, stage_reached
from distwright.builds.limiting_builds import DEPENDENCIES, LOG, OTHER_ARCHITECTURE, PACKAGE
from distwright.jobs.limits import is_limit
from distwright.jobs.step import Conclusion, Earlier, Failure, Inputs, StepEnd, Verdict, judge_by_exit
from distwright.model.digests import Json
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import Outcome

_SAID = ("repo", "tag", "branch", "commit", "archive", "suite", "source", "version")
_FETCHING = ("E: Failed to fetch ", "E: Unable to fetch ", "E: Some index files failed to download")


def judge_build(end: StepEnd) -> Verdict:
    """Judge what sbuild did.

    FAILED: the package says no, or has passed a limit. SKIPPED: it is not for this architecture. BROKEN: we failed.
    """
    if end.plan.keep_log != LOG or not end.ends:  # of before there were logs
        return judge_by_exit(end)
    last = end.ends[-1]
    if last.cut:
        stage = stage_reached(end.log)
        outcome = Outcome.FAILED if is_limit(last.cut) else Outcome.TIMED_OUT
        return Verdict(outcome, _joined(f"{stage}: {last.cut}", _last_words(end)), stage=stage)
    if last.exit_code == 0:
        return Verdict(Outcome.OK, "ok")
    error = first_error(end.log)
    if last.exit_code == OTHER_ARCHITECTURE:
        return Verdict(Outcome.SKIPPED, "the package is not for this architecture", stage="source")
    if last.exit_code == PACKAGE and has_begun(end.log):
        return _failed(error, "build", end)
    if last.exit_code == DEPENDENCIES and not _is_unfetched(end.log):
        return _failed(error, "dependencies", end)
    # The session could not be made or entered, the source not unpacked, apt not fetch, or sbuild itself died.
    reason = error.line if error is not None and error.stage == "dependencies" else _last_words(end)
    return Verdict(Outcome.BROKEN, _joined(f"sbuild ended with exit {last.exit_code}", reason), stage="session")


def judge_source(end: StepEnd) -> Verdict:
    """Judge what made or unpacked the source package: by its exit, with the first real error of its last lines."""
    verdict = judge_by_exit(end)
    if verdict.outcome is not Outcome.FAILED or end.ends[-1].cut:
        return verdict
    error = first_error("\n".join(end.ends[-1].tail))
    return verdict if error is None else Verdict(Outcome.FAILED, error.line, stage="source")


def conclude_failed_build(
    inputs: Inputs, _earlier: Earlier, failure: Failure, now: datetime, job: int
) -> Conclusion:  # the evidence of the attempt holds the log
    """Announce that a build failed, unless it was not the package's: without an environment nothing was tried."""
    if failure.step == "environment":
        return Conclusion({}, failure.message)
    subject = f"{inputs['source']} {inputs['version']}"
    body: dict[str, Json] = {
        **{key: inputs[key] for key in _SAID if key in inputs},
        "outcome": failure.outcome.value,
        "stage": failure.stage or failure.step,
        "message": failure.message,
    }
    if LOG in failure.outputs:
        body["log"] = str(failure.outputs[LOG])
    outputs: dict[str, Json] = {"stage": body["stage"]}  # a search for a culprit looks for failures of one stage
    return Conclusion(outputs, failure.message, [Event(EventKind.BUILD_FAILED, now, subject, body, job)])


def _failed(error: FirstError | None, stage: str, end: StepEnd) -> Verdict:
    if error is None:
        return Verdict(Outcome.FAILED, _joined(stage, _last_words(end)), stage=stage)
    return Verdict(Outcome.FAILED, f"{error.stage}: {error.line}", stage=error.stage)


def _is_unfetched(log: str) -> bool:
    """Say whether apt could not fetch what is there: ours. What is not there is "not installable", and the package's."""
    return any(line.startswith(_FETCHING) for line in log.splitlines())


def _last_words(end: StepEnd) -> str:
    tail = [line.strip() for line in end.log.splitlines()[-15:] if line.strip(" -=+|\n")]
    return tail[-1][:200] if tail else ""


def _joined(what: str, more: str) -> str:
    return f"{what}: {more}" if more else what
