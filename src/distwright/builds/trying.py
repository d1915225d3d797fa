"""The trial of a build: the same environment, source and build as in `package.build`, of which nothing is signed or uploaded.

Its plans are those of the build, so what was built is known, and what was tried is built at once.
"""

from datetime import datetime

from distwright.builds.environment import environment_step
from distwright.builds.package import BUILD_STEP, SOURCE_STEP
from distwright.jobs.step import Conclusion, Earlier, Failure, Inputs, JobKind, KindName
from distwright.model.digests import Json
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import Outcome

KIND = KindName("package.try", 1)

# inputs: those of package.build; suite is the distribution that its .changes names, archive "".


def _event(inputs: Inputs, outcome: Outcome, message: str, now: datetime, job: int) -> Event:
    body: dict[str, Json] = {key: inputs[key] for key in ("repo", "commit", "source", "version") if key in inputs}
    body |= {"outcome": outcome.value, "message": message}
    return Event(EventKind.BUILD_TRIED, now, f"{inputs['source']} {inputs['version']}", body, job)


def conclude(inputs: Inputs, earlier: Earlier, now: datetime, job: int) -> Conclusion:
    """Name what was built, and say that it builds."""
    files: dict[str, Json] = {
        name.partition("/")[2]: str(digest)
        for name, digest in earlier["build"].outputs.items()
        if "/" in name and not name.startswith("changes/")
    }
    outputs: dict[str, Json] = {"files": files}
    message = f"{inputs['source']} {inputs['version']} builds"
    return Conclusion(outputs, message, [_event(inputs, Outcome.OK, "", now, job)])


def conclude_failed(inputs: Inputs, _earlier: Earlier, failure: Failure, now: datetime, job: int) -> Conclusion:
    """Say that it does not build."""
    return Conclusion({}, failure.message, [_event(inputs, failure.outcome, failure.message, now, job)])


PACKAGE_TRY = JobKind(
    KIND, (environment_step("environment", "environment"), SOURCE_STEP, BUILD_STEP), conclude, conclude_failed
)
