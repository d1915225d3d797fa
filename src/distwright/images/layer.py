"""A layer on an image that is there: only packages of our own changed, so only what they change is made and packed.

Steps of the base come first, with its own order: they are known, and if one is not any more, it is made again.
"""

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import IO, Self

from distwright.builds.environment import environment_step
from distwright.errors import BadInput
from distwright.formats.tarstates import TarStates, read_states, write_layer
from distwright.images.accounting import kept, mentioned_in, papers, states_of
from distwright.images.bills import packages_of
from distwright.images.build import conclude
from distwright.images.describing import describe
from distwright.images.failing import conclude_failed, judge_hooks, judge_layer, judge_replay, judge_root
from distwright.images.forms import LAYER_KIND
from distwright.images.initrd import plan_initrd
from distwright.images.iso import plan_iso, plan_packing, plan_squashfs
from distwright.images.layer_orders import own_packages
from distwright.images.layer_packages import NotLayered, refuse_other_choices
from distwright.images.layering import Replay, layer_states, objections, parse_names
from distwright.images.manifest import layered_manifest, parse_installed
from distwright.images.replay import plan_base_replay, plan_layer
from distwright.images.rootfs import plan_customise, plan_root
from distwright.jobs.step import (
    Action,
    Conclusion,
    Context,
    Earlier,
    Fetched,
    Inputs,
    JobKind,
    Plan,
    Step,
    StepResult,
)
from distwright.model import plain
from distwright.store.objects import ObjectStore

KIND = LAYER_KIND
_STATUS = "var/lib/dpkg/status"
_LIST = re.compile(r"var/lib/dpkg/info/([^/:]+)(?::[^/]*)?\.list")

# inputs: those of image.build as they would be in full, and base (the inputs of the image that it lies on), base_files (what was
# said of that: manifest.json, source-packages), packages (images/replay.py, and `from`: archive/suite/path, size_bytes).

Planner = Callable[[Inputs, Earlier], Plan]


def _of_base(plan: Planner) -> Planner:
    """Plan a step of the base, as its own order had it."""
    return lambda inputs, earlier: plan(plain.mapping(inputs, "base"), earlier)


def _is_refused(earlier: Earlier) -> bool:
    return "layer" not in earlier["weigh"].outputs


def weigh(context: Context, inputs: Inputs, earlier: Earlier) -> StepResult:
    """Write the layer as a tar, unless something speaks against it: then the objections are all that there is."""
    objects = context.objects
    with contextlib.ExitStack() as stack:
        base = _Looked.of(earlier["replay"], objects, stack)
        new = _Looked.of(earlier["layer"], objects, stack)
        states = layer_states(base.replay, new.replay)
        against = [*objections(base.replay, new.replay, states), *_other_packages(inputs, earlier, new, objects)]
        if against:
            for one in against:
                context.log(f"no layer: {one}")
            return StepResult({}, values={"objections": [*against]})

        def content(path: str) -> IO[bytes]:
            return (new.after if path in new.replay.touched else base.before).content(path)

        with objects.writing() as writer:
            write_layer(writer, states, content, plain.number(inputs, "epoch"))
    context.log(f"the layer has {len(states)} paths, {sum(state is None for state in states.values())} of them gone")
    return StepResult({"layer": writer.digest})


@dataclass(frozen=True, slots=True)
class _Looked:
    """What a replay left, opened."""

    replay: Replay
    before: TarStates
    after: TarStates

    @classmethod
    def of(cls, result: StepResult, objects: ObjectStore, stack: contextlib.ExitStack) -> Self:
        """Read it. stack: keeps its files open."""
        before, after = (
            read_states(stack.enter_context(objects.open(result.outputs[name]))) for name in ("before.tar", "after.tar")
        )
        touched, linked, initrd = (
            parse_names(objects.read(result.outputs[name])) for name in ("touched", "linked", "names")
        )
        return cls(Replay(touched, before.states, after.states, linked, initrd), before, after)


def _other_packages(inputs: Inputs, earlier: Earlier, new: _Looked, objects: ObjectStore) -> Iterator[str]:
    """Say what of packages is not as it would be in a full build."""
    base = _base_manifest(inputs, objects)
    there = {plain.text(row, "name") for row in packages_of(base) if row["installed"]}
    wanted = there | {plain.text(row, "name") for row in _rows(inputs)}
    found = {one.name for one in parse_installed(objects.read(earlier["layer"].outputs["installed"]))}
    yield from (f"{name} is there in one of both only" for name in sorted(wanted ^ found))
    if "before" in inputs:
        with objects.open(plain.digest(inputs, "before")) as file:
            shipped = _shipped(inputs, new)
            yield from (
                f"/{path} comes before all packages" for path in sorted(read_states(file).states.keys() & shipped)
            )
    try:
        status = new.after.content(_STATUS).read()
        before, after = own_packages(plain.mapping(inputs, "base"), objects), own_packages(inputs, objects)
        refuse_other_choices(status, before, after, recommends="recommends" in inputs)
    except (BadInput, NotLayered) as error:
        yield error.message


def _shipped(inputs: Inputs, new: _Looked) -> set[str]:
    """Give the files of the layer's packages, as dpkg lists them; no folders."""
    names = {plain.text(row, "name") for row in _rows(inputs)}
    lists = [path for path in new.after.states if (match := _LIST.fullmatch(path)) and match[1] in names]
    return {
        line.strip("/")
        for path in lists
        for line in new.after.content(path).read().decode(errors="replace").splitlines()
    }


def _base_manifest(inputs: Inputs, objects: ObjectStore) -> plain.Plain:
    read: plain.Plain = json.loads(objects.read(plain.digest(plain.mapping(inputs, "base_files"), "manifest.json")))
    return read


def _rows(inputs: Inputs) -> list[plain.Plain]:
    return [row for row in plain.members(inputs, "packages") if isinstance(row, Mapping)]


def account(context: Context, inputs: Inputs, earlier: Earlier) -> StepResult:
    """Write what is said of the image: of the base what stays, and what the layer's packages say of themselves."""
    if _is_refused(earlier):
        return StepResult({})
    objects, answers = context.objects, earlier["layer"].outputs
    manifest = layered_manifest(
        plain.text(inputs, "name"), _base_manifest(inputs, objects), [_fetched(row) for row in _rows(inputs)],
        parse_installed(objects.read(answers["installed"])), states_of(inputs), objects, mentioned_in(inputs),
    )  # fmt: skip
    sources = objects.read(plain.digest(plain.mapping(inputs, "base_files"), "source-packages"))
    return kept(context, papers(context, inputs, manifest, answers["copyrights"], known_sources=sources))


def _fetched(row: plain.Plain) -> Fetched:
    archive, suite, path = plain.text(row, "from").split("/", 2)
    return Fetched(archive, suite, path, plain.digest(row, "sha256"), plain.number(row, "size_bytes"))


def _plan_pack(inputs: Inputs, earlier: Earlier) -> Plan:
    """Plan the squashfs of the layer."""
    return Plan(()) if _is_refused(earlier) else plan_packing(inputs, earlier, earlier["weigh"].outputs["layer"])


def _plan_iso(inputs: Inputs, earlier: Earlier) -> Plan:
    """Plan the ISO of both."""
    return Plan(()) if _is_refused(earlier) else plan_iso(inputs, earlier)


def _describe(context: Context, inputs: Inputs, earlier: Earlier) -> StepResult:
    """Vouch for the image, as for one that was built in full."""
    return StepResult({}) if _is_refused(earlier) else describe(context, inputs, earlier)


def _conclude(inputs: Inputs, earlier: Earlier, now: datetime, job: int) -> Conclusion:
    """Announce the image; or say why there is none, and it is to be built in full."""
    if _is_refused(earlier):
        against = earlier["weigh"].values["objections"]
        return Conclusion({"objections": against}, f"no layer: {'; '.join(plain.texts({'x': against}, 'x'))}")
    base = plain.text(plain.mapping(inputs, "base"), "name")
    made = conclude(inputs, earlier, now, job)
    events = [replace(event, body={**event.body, "layer_on": base}) for event in made.events]
    return replace(made, events=events, message=f"{made.message}, a layer on {base}")


IMAGE_LAYER = JobKind(
    KIND,
    (
        environment_step("tools", "tools"),
        Step("root", _of_base(plan_root), judge_root),
        Step("customise", _of_base(plan_customise), judge_hooks),
        Step("initrd", _of_base(plan_initrd)),
        Step("squashfs", _of_base(plan_squashfs)),
        Step("replay", plan_base_replay, judge_replay),
        Step("layer", plan_layer, judge_layer),
        Action("weigh", weigh),
        Action("account", account),
        Step("pack", _plan_pack),
        Step("iso", _plan_iso, judge_hooks),
        Action("describe", _describe),
    ),
    _conclude,
    conclude_failed,
)
