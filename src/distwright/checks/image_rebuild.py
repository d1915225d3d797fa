"""The second build of an image: all of it anew in other circumstances, and every file that its sums name must be the same."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from distwright.checks.causes import Markers
from distwright.checks.difference import Difference, DifferenceKind, compare_files
from distwright.checks.image_difference import compare_initrds, compare_isos, judge_look, plan_look
from distwright.checks.image_variations import (
    CIRCUMSTANCES_STEP,
    COMPILER_STEP,
    image_variation,
    in_words,
    variation_in,
    varied_step,
)
from distwright.checks.rebuild import DIFFERS, SAME, UNKNOWN
from distwright.errors import Refused
from distwright.images.build import IMAGE_BUILD
from distwright.images.describing import SUMS, summed_files
from distwright.images.made_by import KEY as MADE_BY
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
    Plan,
    Step,
    StepResult,
)
from distwright.model import plain
from distwright.model.digests import Json, Sha256
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import Outcome
from distwright.model.records import Job
from distwright.store.holds import Hold, holds_on_all, replace_holds

KIND = KindName("image.rebuild", 1)
QUESTION = "rebuild"
_TOLD_DIFFERENCES = 20
NOT_SAID: Mapping[str, str] = MappingProxyType({})
_NOT_SUMMED = (SUMS, f"{SUMS}.asc")
_ANNOUNCED = ("image", "name", "commit", "version", "states")
# What follows from the rest comes last: what vouches for files, what is named by them, and lists of packages.
_TELLING = (".manifest.json", ".packages", ".iso", ".initrd.img", ".squashfs", ".vmlinuz", ".usb.img")

# inputs: those of image.build, and built: name -> object of each file that its sums name; variation: see image_variations.py;
# elsewhere (absent: false): the files themselves are not here, only their sums are; made_by (absent: not said): what made the first
# root.


def image_rebuild_order(job: Job, holds: tuple[Hold, ...] = ()) -> JobOrder:
    """Order the second build of an image. holds: the serials that it was made from.

    Raises Refused for a job that is no image's build, or has built nothing.
    """
    if job.kind != IMAGE_BUILD.kind.name:
        raise Refused(f"job {job.id} has built no image but is a {job.kind}", hint="distwright image list")
    if job.outcome is not Outcome.OK or job.outputs is None:
        raise Refused(f"job {job.id} has built nothing", hint=f"distwright job show {job.id}")
    made_by = plain.text_map(job.outputs, MADE_BY) if MADE_BY in job.outputs else {}
    return order_of(job.inputs, job.digest, summed(plain.digest_map(job.outputs, "files")), holds, made_by=made_by)


def order_of(
    inputs: Inputs, build: Sha256, built: Mapping[str, Sha256], holds: tuple[Hold, ...] = (), *, elsewhere: bool = False,
    made_by: Mapping[str, str] = NOT_SAID,
) -> JobOrder:  # fmt: skip
    """Order the second build of what an order of digest `build` gave: the files that its sums name.

    made_by: what made the first root, which is a part of what is said of the image.
    """
    variation = image_variation(build, plain.text(inputs, "image"))
    more: dict[str, Json] = {
        "built": {name: str(digest) for name, digest in sorted(built.items())},
        "variation": variation.to_json(),
        **({"elsewhere": True} if elsewhere else {}),
        **({MADE_BY: dict(made_by)} if made_by else {}),
    }
    return JobOrder(KIND, {**inputs, **more}, f"rebuild image {inputs['name']}", PRIORITY_DAILY, holds=holds)


def summed(files: Mapping[str, Sha256]) -> dict[str, Sha256]:
    """Leave out what the sums do not name: themselves, their signature, the log, and the bundle that has them."""
    return {
        name: file for name, file in files.items() if name not in _NOT_SUMMED and not name.endswith((".log", ".bundle"))
    }


def look_at_both(inputs: Inputs, earlier: Earlier) -> Plan:
    """Plan to look into both ISOs, if they differ and both are here."""
    name = f"{inputs['name']}.iso"
    first, second = plain.digest_map(inputs, "built").get(name), earlier["papers"].outputs.get(name)
    if first is None or second is None or first == second or "elsewhere" in inputs:
        return Plan(())
    return plan_look(earlier, (first, second))


def write_papers(context: Context, inputs: Inputs, earlier: Earlier) -> StepResult:
    """Write what the sums would name. Nothing is signed, and nothing public."""
    return StepResult(summed_files(context, inputs, earlier))


def compare(context: Context, inputs: Inputs, earlier: Earlier) -> StepResult:
    """Compare all files of both builds. What cannot be read, because it is damaged or too large, differs all the same."""
    first, second = plain.digest_map(inputs, "built"), earlier["papers"].outputs
    found: list[Difference] = []
    pairs: dict[str, Json] = {}
    for name in sorted(first.keys() | second.keys(), key=_order_of):
        context.check_cancelled()
        if name not in first or name not in second:
            found.append(Difference.of_file(name, is_first=name in first))
        elif first[name] != second[name]:
            context.log(f"{name} differs")
            found += _differences(context, inputs, earlier, name, (first[name], second[name]))
            if "elsewhere" not in inputs:
                pairs[name] = [str(first[name]), str(second[name])]
    for difference in found[:_TOLD_DIFFERENCES]:
        context.log(difference.in_words())
    # As of a package's rebuild: what differs is needed, and nothing that it was made of.
    with context.write() as tx:
        replace_holds(tx, f"comparison {context.job}", holds_on_all(pairs), context.now())
    told: list[Json] = [difference.in_words() for difference in found[:_TOLD_DIFFERENCES]]
    same: list[Json] = [name for name in sorted(first) if second.get(name) == first[name]]
    values: dict[str, Json] = {
        "differences": told,
        "count": len(found),
        "pairs": pairs,
        "same": same,
        "files": len(first),
    }
    return StepResult({}, values=values)


def _differences(
    context: Context, inputs: Inputs, earlier: Earlier, name: str, pair: tuple[Sha256, Sha256]
) -> list[Difference]:
    if "elsewhere" in inputs:
        return [Difference(name, "", "", DifferenceKind.CONTENT, f"sha256 {pair[0]}", str(pair[1]))]
    markers = Markers.of(variation_in(inputs), "/work") if "variation" in inputs else None
    if name == f"{inputs['name']}.iso":
        return compare_isos(name, pair, earlier["look"].outputs, context.objects, markers, context.check_cancelled)
    if name.endswith(".initrd.img"):
        return compare_initrds(name, pair, context.objects, markers, context.check_cancelled)
    with context.objects.open(pair[0]) as one, context.objects.open(pair[1]) as other:
        return compare_files(name, one, other, markers, look=context.check_cancelled)


def _order_of(name: str) -> tuple[int, str]:
    place = next((at for at, ending in enumerate(_TELLING) if name.endswith(ending)), len(_TELLING))
    return place, name


def conclude(inputs: Inputs, earlier: Earlier, now: datetime, job: int) -> Conclusion:
    """Say whether it came out the same, or what the first difference is."""
    values = earlier["compare"].values
    count, files = plain.number(values, "count"), plain.number(values, "files")
    same = values["same"]
    if count == 0:
        message = f"{inputs['name']}: all {files} files came out the same"
        return Conclusion({"verdict": SAME, "same": same}, message, [_event(inputs, SAME, message, now, job)])
    more = {key: values[key] for key in ("differences", "count", "pairs")}
    message = plain.texts(values, "differences")[0]
    event = _event(inputs, DIFFERS, message, now, job, more)
    return Conclusion(
        {"verdict": DIFFERS, "same": same, **more}, f"{inputs['name']} is not reproducible: {message}", [event]
    )


def conclude_failed(inputs: Inputs, _earlier: Earlier, failure: Failure, now: datetime, job: int) -> Conclusion:
    """Say why it could not be compared."""
    return Conclusion({"verdict": UNKNOWN}, failure.message, [_event(inputs, UNKNOWN, failure.message, now, job)])


def _event(
    inputs: Inputs, verdict: str, message: str, now: datetime, job: int, more: Mapping[str, Json] | None = None
) -> Event:
    body: dict[str, Json] = {key: inputs[key] for key in _ANNOUNCED if key in inputs}
    body |= {"verdict": verdict, "message": message, "varied": dict(in_words(variation_in(inputs))), **(more or {})}
    return Event(EventKind.IMAGE_COMPARED, now, plain.text(inputs, "name"), body, job)


def _anew(step: Step | Action) -> tuple[Step | Action, ...]:
    """Say what becomes of a step of the build: the environment of the tools may be known, everything else is made again."""
    if step.name == "tools":
        return (step, COMPILER_STEP, CIRCUMSTANCES_STEP)
    if step.name == "describe":
        return (Action("papers", write_papers), Step("look", look_at_both, judge_look), Action("compare", compare))
    return (varied_step(step),) if isinstance(step, Step) else (step,)


IMAGE_REBUILD = JobKind(
    KIND, tuple(other for step in IMAGE_BUILD.steps for other in _anew(step)), conclude, conclude_failed
)
