"""Environments: build roots made by mmdebstrap from exactly the suites that a recipe pins."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from distwright.jobs.limits import Limits
from distwright.jobs.step import (
    Earlier,
    Inputs,
    Plan,
    PlannedCommand,
    ShelfEntry,
    Step,
    StepEnd,
    StepResult,
    Verdict,
    judge_by_exit,
)
from distwright.model import plain
from distwright.model.digests import Json, Sha256
from distwright.model.outcomes import Outcome

MERGED_USR_HOOK = "/usr/share/mmdebstrap/hooks/merged-usr"
FORGET_MACHINE = 'rm -f "$1/etc/apt/sources.list" "$1/etc/resolv.conf" "$1/etc/hostname"'
NEVER = "!"
_HOLD_BACK = 'mkdir -p "$1/etc/apt/preferences.d"; cp {work}/preferences "$1/etc/apt/preferences.d/00distwright"'
APT_UNPINNED = "Acquire::Check-Valid-Until false"  # validity was judged when the snapshot was recorded
# It has the host's apt resolve and fetch, the host's dpkg unpack, and the host's tar write the root.
MMDEBSTRAP_PROGRAMS = ("apt", "dpkg", "mmdebstrap", "perl-base", "tar")
_TIMEOUT_S = 1800
_UNSAID = "amd64"
# The runner has looked before (tools/architectures.py). mmdebstrap's own check wants arch-test, and puts an emulator into the root.
_NO_CHECK = "--skip=check/qemu"
_REQUIRED = ("shelf", "components", "variant", "architecture", "epoch")
_DEFAULTS: plain.Plain = {"include": [], "pins": {}}  # not written, and taken for what is missing: see jobs/step.py


@dataclass(frozen=True, slots=True)
class EnvironmentRecipe:
    """What a build root is made of. epoch: no file in it is newer (seconds, UTC).

    pins: package -> version that apt takes there and in what is built there, whatever else the shelf has; `!version` is one that
    it never takes. Sorted by name.
    """

    shelf: tuple[ShelfEntry, ...]
    components: Mapping[str, tuple[str, ...]]
    variant: str
    include: tuple[str, ...]
    architecture: str
    epoch: int
    pins: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> Json:
        """Give the part of a job's inputs."""
        values: dict[str, Json] = {
            "shelf": [entry.to_json() for entry in self.shelf],
            "components": {name: list(members) for name, members in self.components.items()},
            "variant": self.variant,
            "include": list(self.include),
            "architecture": self.architecture,
            "epoch": self.epoch,
            "pins": dict(self.pins),
        }
        return plain.without_defaults(values, _DEFAULTS)

    @classmethod
    def from_json(cls, given: plain.Plain) -> Self:
        """Read what `to_json` gave; raise BadInput."""
        values = plain.with_defaults(given, _REQUIRED, _DEFAULTS)
        components = plain.mapping(values, "components")
        return cls(
            shelf=tuple(ShelfEntry.from_json(entry) for entry in plain.members(values, "shelf")),
            components={name: plain.texts(components, name) for name in components},
            variant=plain.text(values, "variant"),
            include=plain.texts(values, "include"),
            architecture=plain.text(values, "architecture"),
            epoch=plain.number(values, "epoch"),
            pins=tuple(sorted(plain.text_map(values, "pins").items())),
        )

    @property
    def distribution(self) -> str:
        """What its first suite of an archive is called; one that was made for it alone (archive/made_suite.py) does not count."""
        return next((entry.suite for entry in self.shelf if not entry.archive.startswith("_")), self.shelf[0].suite)

    @property
    def foreign(self) -> str:
        """Give what plans say of its architecture: nothing of amd64, so that they stay what they were."""
        return "" if self.architecture == _UNSAID else self.architecture

    def preferences(self) -> str:
        """Give the apt_preferences(5) of its pins."""
        paragraphs = [
            f"Package: {name}\nPin: version {version.removeprefix(NEVER)}\n"
            f"Pin-Priority: {-1 if version.startswith(NEVER) else 1001}\n"
            for name, version in self.pins
        ]
        return "\n".join(paragraphs)

    def source_lines(self) -> list[str]:
        """Give the lines of a sources.list, with `{shelf:…}` for the addresses."""
        return [
            f"deb [trusted=yes] {{shelf:{entry.name}}} {entry.suite} {' '.join(self.components[entry.name])}"
            for entry in self.shelf
        ]


def environment_step(name: str, key: str) -> Step:
    """Make the step that builds the environment whose recipe is `inputs[key]`; its output is `root`, a tar."""

    def plan(inputs: Inputs, _earlier: Earlier) -> Plan:
        return environment_plan(EnvironmentRecipe.from_json(plain.mapping(inputs, key)))

    return Step(name, plan, judge_environment)


def judge_environment(end: StepEnd) -> Verdict:
    """Judge a bootstrap: whatever it is made for has no part in it, so its failure is ours and the world's."""
    verdict = judge_by_exit(end)
    is_ours = verdict.outcome in (Outcome.FAILED, Outcome.TIMED_OUT)
    return replace(verdict, outcome=Outcome.BROKEN) if is_ours else verdict


def environment_plan(recipe: EnvironmentRecipe) -> Plan:
    """Plan a root: bootstrapped from the shelf, without device nodes, apt lists or anything that names this machine."""
    hooks = ["--hook-dir", MERGED_USR_HOOK, "--customize-hook", FORGET_MACHINE]
    if recipe.pins:
        hooks += ["--setup-hook", _HOLD_BACK]
    skipped = ["--skip=output/dev", *([_NO_CHECK] if recipe.foreign else [])]
    argv = mmdebstrap_argv(recipe, ["--variant", recipe.variant, *skipped, *hooks], "root.tar")
    environment = (("SOURCE_DATE_EPOCH", str(recipe.epoch)), ("TMPDIR", "{work}/tmp"))
    return Plan(
        commands=(PlannedCommand(argv, _TIMEOUT_S, reads_shelf=True, environment=environment),),
        write={"tmp/.keep": ""} | ({"preferences": recipe.preferences()} if recipe.pins else {}),
        collect={"root": "root.tar"},
        shelf=recipe.shelf,
        programs=MMDEBSTRAP_PROGRAMS,
        architecture=recipe.foreign,
    )


def mmdebstrap_argv(recipe: EnvironmentRecipe, options: Sequence[str], target: str) -> tuple[str, ...]:
    """Give the mmdebstrap call for a recipe; the first suite's name is the distribution."""
    include = ("--include", ",".join(recipe.include)) if recipe.include else ()
    return (
        "mmdebstrap", "--mode=unshare", "--architectures", recipe.architecture,
        "--aptopt", APT_UNPINNED, "--aptopt", "Acquire::Languages none", *include, *options,
        "--", recipe.distribution, target, *recipe.source_lines(),
    )  # fmt: skip


def in_environment(plan: Callable[[Inputs, Earlier], Plan]) -> Callable[[Inputs, Earlier], Plan]:
    """Let the plans of a step that works in the root of `inputs["environment"]` say what architecture the machine must run.

    What runs in that root and has no limits gets those of the order, for builds in that environment, but for their time.
    """

    def planned(inputs: Inputs, earlier: Earlier) -> Plan:
        recipe = EnvironmentRecipe.from_json(plain.mapping(inputs, "environment"))
        made = replace(plan(inputs, earlier), architecture=recipe.foreign)
        if "limits" not in inputs:
            return made
        limits = replace(Limits.from_json(plain.mapping(inputs, "limits")), hours=0)
        commands = [
            command if command.root is None else replace(command, limits=command.limits.or_else(limits))
            for command in made.commands
        ]
        return replace(made, commands=tuple(commands))

    return planned


def root_of(result: StepResult) -> Sha256:
    """Give the root that an environment step made."""
    return result.outputs["root"]
