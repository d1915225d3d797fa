"""The trial of a build: the same environment, source and build as in `package.build`, of which nothing is signed or uploaded.

Its plans are those of the build, so what was built is known, and what was tried is built at once.
"""

from datetime import datetime

from distwright.archive.resolve import Ground
from distwright.builds.environment import environment_step
from distwright.builds.package import BUILD_STEP, SOURCE_STEP
from distwright.builds.resolve import build_order
from distwright.builds.versions_of_commits import tag_of_version
from distwright.errors import NotFound
from distwright.formats.changelog import top_entry
from distwright.jobs.order import PRIORITY_DAILY, JobOrder
from distwright.jobs.step import Conclusion, Earlier, Failure, Inputs, JobKind, KindName
from distwright.model.digests import Json
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import Outcome
from distwright.store.database import Database
from distwright.tools.git import file_at

KIND = KindName("package.try", 1)

# inputs: those of package.build; suite is the distribution that its .changes names, archive "", and no tag.


def trial_of(order: JobOrder, *, priority: int = PRIORITY_DAILY) -> JobOrder:
    """Turn the order of a build into that of its trial: the same plans."""
    inputs = {key: value for key, value in order.inputs.items() if key not in ("tag", "branch")} | {"archive": ""}
    title = f"try {inputs['source']} {inputs['version']}"
    return JobOrder(KIND, inputs, title, priority=priority, pool=order.pool, holds=order.holds)


def commit_trial(database: Database, ground: Ground, *, repo: str, commit: str) -> JobOrder:
    """Order the trial of a package at a commit, with what its environment's suites are now or where `ground` pins them.

    The version is what its changelog says, as if it were tagged. Raises what `build_order` raises.
    """
    content = file_at(ground.paths.repo(repo), commit, "debian/changelog")
    if content is None:
        raise NotFound(f"commit {commit[:12]} of {repo} has no debian/changelog", hint="add one: dch --create")
    tag = tag_of_version(top_entry(content.decode(errors="replace")).version)
    return trial_of(build_order(database, ground, repo=repo, tag=tag, revision=commit))


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
    """Say that it does not build, and where it stopped: outputs has `stage`. Without an environment nothing was tried."""
    outputs: dict[str, Json] = {"stage": failure.stage or failure.step}
    if failure.step == "environment":
        return Conclusion(outputs, failure.message)
    return Conclusion(outputs, failure.message, [_event(inputs, failure.outcome, failure.message, now, job)])


PACKAGE_TRY = JobKind(
    KIND,
    (environment_step("environment", "environment"), SOURCE_STEP, BUILD_STEP),
    conclude,
    conclude_failed,
)
