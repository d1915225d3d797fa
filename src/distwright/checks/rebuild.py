"""The rebuild check: what was built is built again in other circumstances, and must come out the same, byte for byte."""

from collections.abc import Mapping
from datetime import datetime

from distwright.builds import package, trying
from distwright.builds.environment import environment_step
from distwright.builds.package import BUILD_STEP, SOURCE_STEP, plan_build
from distwright.checks.causes import Markers
from distwright.checks.difference import Difference, compare_files
from distwright.checks.variations import Variation, variation_of, varied
from distwright.errors import BadInput, Refused
from distwright.jobs.order import PRIORITY_DAILY, JobOrder
from distwright.jobs.step import (
    Action,
    Conclusion,
    Context,
    Earlier,
    Failure,
    Inputs,
    JobKind,
    KindName,
    Outputs,
    Plan,
    Step,
    StepResult,
    Where,
)
from distwright.model import plain
from distwright.model.digests import Json, Sha256
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import Outcome
from distwright.model.records import Job
from distwright.store.holds import Hold, holds_on_all, replace_holds

KIND = KindName("package.rebuild", 1)
SAME, DIFFERS, UNKNOWN = "same", "differs", "unknown"
REBUILDS = ".rebuild"  # what the kinds of second builds end with
_BUILDS = (package.KIND.name, trying.KIND.name)
_COMPARED = (".deb", ".udeb", ".ddeb", ".dsc")
_TOLD_DIFFERENCES = 20
_ANNOUNCED = ("repo", "tag", "branch", "commit", "archive", "suite", "source", "version")

# inputs: those of package.build, and built: name -> object of each file that the build gave; variation: see checks/variations.py.


def rebuild_order(job: Job, holds: tuple[Hold, ...] = ()) -> JobOrder:
    """Order the rebuild of what a job built. holds: the serials that its environment is from.

    Raises Refused for a job that is no build, or has built nothing.
    """
    if job.kind not in _BUILDS:
        raise Refused(f"job {job.id} is no build but a {job.kind}", hint="distwright job list")
    if job.outcome is not Outcome.OK or job.outputs is None:
        raise Refused(f"job {job.id} has built nothing", hint=f"distwright job show {job.id}")
    source = plain.text(job.inputs, "source")
    built = {name: str(digest) for name, digest in _compared(plain.digest_map(job.outputs, "files")).items()}
    variation = variation_of(job.digest, source)
    inputs: dict[str, Json] = {**job.inputs, "built": dict(built), "variation": variation.to_json()}
    return JobOrder(KIND, inputs, f"rebuild {source} {job.inputs['version']}", PRIORITY_DAILY, holds=holds)


def plan_rebuild(inputs: Inputs, earlier: Earlier) -> Plan:
    """Plan the build as it was planned, in other circumstances."""
    return varied(plan_build(inputs, earlier), Variation.from_json(plain.mapping(inputs, "variation")))


def _compared(files: Mapping[str, Sha256]) -> dict[str, Sha256]:
    """Leave out what says when and where it was made: .changes, .buildinfo and the log."""
    return {name: digest for name, digest in sorted(files.items()) if name.endswith(_COMPARED) or ".tar." in name}


def _files_of(outputs: Outputs) -> dict[str, Sha256]:
    return _compared({name.partition("/")[2]: digest for name, digest in outputs.items() if "/" in name})


def compare(context: Context, inputs: Inputs, earlier: Earlier) -> StepResult:
    """Compare both builds, file by file. What cannot be read, because it is damaged or too large, differs all the same."""
    first, second = plain.digest_map(inputs, "built"), _files_of(earlier["rebuild"].outputs)
    variation = Variation.from_json(plain.mapping(inputs, "variation"))
    markers = Markers.of(variation, f"/build/{inputs['source']}")
    found: list[Difference] = []
    for name in sorted(first.keys() | second.keys(), key=_order_of):
        context.check_cancelled()
        if first.get(name) == second.get(name):
            continue
        if name not in first or name not in second:
            found.append(Difference.of_file(name, is_first=name in first))
            continue
        context.log(f"{name} differs")
        with context.objects.open(first[name]) as one, context.objects.open(second[name]) as other:
            found += compare_files(name, one, other, markers, look=context.check_cancelled)
    for difference in found[:_TOLD_DIFFERENCES]:
        context.log(difference.in_words())
    pairs: dict[str, Json] = {
        name: [str(first[name]), str(second[name])]
        for name in sorted(first.keys() & second.keys())
        if first[name] != second[name]
    }
    # Not an heir: what differs is needed, the serials and all that the rebuild was made of are not.
    with context.write() as tx:
        replace_holds(tx, f"comparison {context.job}", holds_on_all(pairs), context.now())
    told: list[Json] = [difference.to_json() for difference in found[:_TOLD_DIFFERENCES]]
    return StepResult({}, values={"differences": told, "count": len(found), "pairs": pairs, "files": len(first)})


def _order_of(name: str) -> tuple[int, str]:
    """Packages first, then their debug symbols, then the source: what differs there follows from what differs before."""
    is_package = name.endswith((".deb", ".udeb"))
    return (2 if not is_package else 1 if "-dbgsym_" in name else 0), name


def conclude(inputs: Inputs, earlier: Earlier, now: datetime, job: int) -> Conclusion:
    """Say whether it came out the same, or what the first difference is."""
    values = earlier["compare"].values
    differences = [Difference.from_json(one) for one in plain.members(values, "differences")]
    count, files = plain.number(values, "count"), plain.number(values, "files")
    what = f"{inputs['source']} {inputs['version']}"
    if count == 0:
        message = f"{what}: all {files} files came out the same"
        return Conclusion({"verdict": SAME}, message, [_event(inputs, SAME, message, now, job)])
    message = differences[0].in_words()
    pairs = plain.mapping(values, "pairs")
    told: list[Json] = [difference.in_words() for difference in differences]
    outputs: dict[str, Json] = {"verdict": DIFFERS, "differences": told, "count": count, "pairs": dict(pairs)}
    more: dict[str, Json] = {"differences": told, "count": count, "pairs": dict(pairs)}
    event = _event(inputs, DIFFERS, message, now, job, more)
    return Conclusion(outputs, f"{what} is not reproducible: {message}", [event])


def conclude_failed(inputs: Inputs, _earlier: Earlier, failure: Failure, now: datetime, job: int) -> Conclusion:
    """Say why it could not be compared."""
    return Conclusion({"verdict": UNKNOWN}, failure.message, [_event(inputs, UNKNOWN, failure.message, now, job)])


def _event(
    inputs: Inputs, verdict: str, message: str, now: datetime, job: int, more: Mapping[str, Json] | None = None
) -> Event:
    body: dict[str, Json] = {key: inputs[key] for key in _ANNOUNCED if key in inputs}
    words = Variation.from_json(plain.mapping(inputs, "variation")).in_words()
    body |= {"verdict": verdict, "message": message, "varied": dict(words), **(more or {})}
    return Event(EventKind.BUILD_COMPARED, now, f"{inputs['source']} {inputs['version']}", body, job)


def verdict_of(job: Job) -> tuple[str, str]:
    """Give the verdict of a rebuild, of a package or an image, that has ended, and why: one that we could not make is unknown."""
    if not job.kind.endswith(REBUILDS):
        raise BadInput(f"job {job.id} is no rebuild but a {job.kind}", hint="distwright job list")
    outputs = job.outputs or {}
    verdict = plain.text(outputs, "verdict") if "verdict" in outputs else UNKNOWN
    return verdict, job.message or str(job.outcome or job.state)


PACKAGE_REBUILD = JobKind(
    KIND,
    (
        environment_step("environment", "environment"),
        SOURCE_STEP,
        Step("rebuild", plan_rebuild, BUILD_STEP.judge),
        Action("compare", compare, Where.ANYWHERE),
    ),
    conclude,
    conclude_failed,
)
