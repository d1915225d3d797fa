"""What a job consists of: steps that are pure plans, or actions. Nothing here knows a path of this machine.

A plan names its inputs by digest and its outputs by name, so that any runner can take it: the local one, or later one on
another host. Its canonical JSON is an identity: the result of an `ok` plan is kept and never computed twice.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, Self

from distwright.config.model import Config
from distwright.jobs.limits import NO_LIMITS, Limits
from distwright.model import plain
from distwright.model.digests import Json, Sha256
from distwright.model.events import Event
from distwright.model.findings import Finding
from distwright.model.outcomes import Outcome
from distwright.net.fetcher import Fetcher
from distwright.signing.signer import Signer
from distwright.store.database import Database, Transaction
from distwright.store.objects import ObjectStore
from distwright.store.paths import StatePaths

Inputs = Mapping[str, Json]
Outputs = Mapping[str, Sha256]

# What is not written, and taken for what is missing. A field that is added gets its line here, and no identity changes.
_ENTRY_DEFAULTS: plain.Plain = {"is_own": False, "fields": {}, "lists": [], "served_as": ""}
_COMMAND_DEFAULTS: plain.Plain = {
    "root": None,
    "reads_shelf": False,
    "until": None,
    "never": None,
    "environment": {},
    "limits": {},
}
_PLAN_DEFAULTS: plain.Plain = {
    "place": {},
    "write": {},
    "templates": {},
    "collect": {},
    "collect_always": {},
    "shelf": [],
    "programs": [],
    "architecture": "",
    "keep_log": "",
}


@dataclass(frozen=True, slots=True)
class ShelfEntry:
    """One suite that a command may read over loopback: a recorded one, or a revision of an own one. By digest only.

    document: the snapshot document (recorded) or the revision root (own). fields, lists: of an own suite, what its Release
    says and the lists that have an index even if they are empty. served_as: what its archive is called in its address, "" for its
    name: two states of an archive can stand side by side.
    """

    archive: str
    suite: str
    document: Sha256
    is_own: bool = False
    fields: tuple[tuple[str, str], ...] = ()
    lists: tuple[str, ...] = ()
    served_as: str = ""

    @property
    def folder(self) -> str:
        """What its archive is called in its address."""
        return self.served_as or self.archive

    @property
    def name(self) -> str:
        """How plans call it, in `{shelf:NAME}` and in configuration: archive/suite."""
        return f"{self.folder}/{self.suite}"

    def to_json(self) -> Json:
        """Give the part of a plan's identity."""
        values: dict[str, Json] = {
            "archive": self.archive,
            "suite": self.suite,
            "document": str(self.document),
            "is_own": self.is_own,
            "fields": dict(self.fields),
            "lists": list(self.lists),
            "served_as": self.served_as,
        }
        return plain.without_defaults(values, _ENTRY_DEFAULTS)

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Read what `to_json` gave; raise BadInput."""
        given = plain.mapping({"shelf entry": value}, "shelf entry")
        values = plain.with_defaults(given, ("archive", "suite", "document"), _ENTRY_DEFAULTS)
        return cls(
            plain.text(values, "archive"),
            plain.text(values, "suite"),
            plain.digest(values, "document"),
            plain.flag(values, "is_own"),
            tuple(sorted(plain.text_map(values, "fields").items())),
            plain.texts(values, "lists"),
            plain.text(values, "served_as"),
        )


@dataclass(frozen=True, slots=True)
class PlannedCommand:
    """One program.

    In argv, environment and templates, `{work}` is the work folder, `{shelf:NAME}` the base URL of a suite's archive, and
    `{accel:FILE}` the accelerator of QEMU that really works here, tried with the kernel FILE of the work folder.

    root: digest of a root file system (tar) to run in, with nothing else of the machine visible; None runs the host's program as
    the sandbox user, who sees the machine's programs only. Both begin in the work folder, see no other, and have no network;
    reads_shelf: but the shelf. until: end it with success when its output has this text; never: end it as failed when it has
    this one. limits: what it may use, if more or less than the machine lets any program; past one it is ended as failed, and
    `CommandEnd.cut` names it.
    """

    argv: tuple[str, ...]
    timeout_s: int
    root: Sha256 | None = None
    reads_shelf: bool = False
    until: str | None = None
    never: str | None = None
    environment: tuple[tuple[str, str], ...] = ()
    limits: Limits = NO_LIMITS

    def to_json(self) -> Json:
        """Give the part of a plan's identity."""
        values: dict[str, Json] = {
            "argv": list(self.argv),
            "timeout_s": self.timeout_s,
            "root": self.root,
            "reads_shelf": self.reads_shelf,
            "until": self.until,
            "never": self.never,
            "environment": dict(self.environment),
            "limits": self.limits.to_json(),
        }
        return plain.without_defaults(values, _COMMAND_DEFAULTS)

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Read what `to_json` gave, the environment in order of name; raise BadInput."""
        values = plain.with_defaults(
            plain.mapping({"command": value}, "command"), ("argv", "timeout_s"), _COMMAND_DEFAULTS
        )
        return cls(
            plain.texts(values, "argv"),
            plain.number(values, "timeout_s"),
            root=None if values["root"] is None else plain.digest(values, "root"),
            reads_shelf=plain.flag(values, "reads_shelf"),
            until=None if values["until"] is None else plain.text(values, "until"),
            never=None if values["never"] is None else plain.text(values, "never"),
            environment=tuple(sorted(plain.text_map(values, "environment").items())),
            limits=Limits.from_json(values["limits"]),
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, location-free.

    place: file in the work folder -> object. write: file -> text (executable if it begins with `#!`). templates: the same, with
    tokens filled in. collect: output name -> file; a pattern with `*` gives `name/file` for each match. collect_always: the same,
    for what is kept however the commands end, as far as it is there (logs, screenshots). programs: Debian packages of host
    programs whose version counts. architecture: of the programs of a root that it makes or uses, which the machine must be able to
    run; "" is amd64, or none.
    keep_log: the output that what the commands print is kept as, however they end; "" for none.
    """

    commands: tuple[PlannedCommand, ...]
    place: Mapping[str, Sha256] = field(default_factory=dict)
    write: Mapping[str, str] = field(default_factory=dict)
    templates: Mapping[str, str] = field(default_factory=dict)
    collect: Mapping[str, str] = field(default_factory=dict)
    collect_always: Mapping[str, str] = field(default_factory=dict)
    shelf: tuple[ShelfEntry, ...] = ()
    programs: tuple[str, ...] = ()
    architecture: str = ""
    keep_log: str = ""

    def to_json(self) -> Json:
        """Give the identity of the plan; the runner adds the versions of `programs`."""
        values: dict[str, Json] = {
            "commands": [command.to_json() for command in self.commands],
            "place": dict(self.place),
            "write": dict(self.write),
            "templates": dict(self.templates),
            "collect": dict(self.collect),
            "collect_always": dict(self.collect_always),
            "shelf": [entry.to_json() for entry in self.shelf],
            "programs": list(self.programs),
            "architecture": self.architecture,
            "keep_log": self.keep_log,
        }
        return plain.without_defaults(values, _PLAN_DEFAULTS)

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Read what `to_json` gave; raise BadInput. So a runner elsewhere can take a plan."""
        values = plain.with_defaults(plain.mapping({"plan": value}, "plan"), ("commands",), _PLAN_DEFAULTS)
        return cls(
            commands=tuple(PlannedCommand.from_json(command) for command in plain.members(values, "commands")),
            place=plain.digest_map(values, "place"),
            write=plain.text_map(values, "write"),
            templates=plain.text_map(values, "templates"),
            collect=plain.text_map(values, "collect"),
            collect_always=plain.text_map(values, "collect_always"),
            shelf=tuple(ShelfEntry.from_json(entry) for entry in plain.members(values, "shelf")),
            programs=plain.texts(values, "programs"),
            architecture=plain.text(values, "architecture"),
            keep_log=plain.text(values, "keep_log"),
        )


@dataclass(frozen=True, slots=True)
class Fetched:
    """A pool file that a command took from a shelf."""

    archive: str
    suite: str
    path: str
    sha256: Sha256
    size_bytes: int


@dataclass(frozen=True, slots=True)
class CommandEnd:
    """How one command ended; cut says why we ended it, "" if it ended by itself. tail: the last lines it printed."""

    exit_code: int
    cut: str
    tail: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepEnd:
    """What a runner reports. ends: the commands that were started, in order; the last one stopped the rest if it failed.

    outputs: all if every command did well; what is collected always if one did not. log: what they printed, as harmless text
    with its middle left out if it is long (formats/log_text.py); "" if the plan does not keep it.
    """

    plan: Plan
    ends: tuple[CommandEnd, ...]
    outputs: Outputs
    fetched: tuple[Fetched, ...]
    log: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge says of a step. stage: where within the step it went wrong, "" if the step says it all."""

    outcome: Outcome
    message: str
    findings: Sequence[Finding] = ()
    stage: str = ""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What later steps and the conclusion see of an earlier step."""

    outputs: Outputs
    fetched: tuple[Fetched, ...] = ()
    values: Mapping[str, Json] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


Earlier = Mapping[str, StepResult]


def judge_by_exit(end: StepEnd) -> Verdict:
    """Judge the usual way: every command exits 0 within its limits, or the step has failed with its last lines."""
    for planned, ended in zip(end.plan.commands, end.ends, strict=False):
        name = planned.argv[0]
        if ended.cut.startswith("time limit"):
            return Verdict(Outcome.TIMED_OUT, f"{name}: {ended.cut}")
        if ended.cut or ended.exit_code != 0:
            last = f": {ended.tail[-1]}" if ended.tail else ""
            return Verdict(Outcome.FAILED, f"{name} ended with {ended.cut or f'exit {ended.exit_code}'}{last}")
    return Verdict(Outcome.OK, "ok")


@dataclass(frozen=True, slots=True)
class Step:
    """A pure step: plan and judge see values only. repeat: run it even if its result is known (a boot, an install).

    beside: the earlier step that it does not wait for: it is begun together with that one where there are two processors.
    """

    name: str
    plan: Callable[[Inputs, Earlier], Plan]
    judge: Callable[[StepEnd], Verdict] = judge_by_exit
    repeat: bool = False
    beside: str = ""


class Context(Protocol):
    """What an action may use; the worker builds it. Times and cancellation come from here, never from the machine."""

    @property
    def job(self) -> int | None:
        """The job that acts; None for a person's command. Events say it."""
        ...

    @property
    def fence(self) -> int:
        """The attempt of the job."""
        ...

    @property
    def database(self) -> Database:
        """Rows and events, to read."""
        ...

    def write(self) -> AbstractContextManager[Transaction]:
        """Begin a writing transaction; raise LeaseLost if the job is no longer ours. The only way for an action to write."""
        ...

    @property
    def objects(self) -> ObjectStore:
        """Objects."""
        ...

    @property
    def fetcher(self) -> Fetcher:
        """The way out to upstream mirrors."""
        ...

    @property
    def alternates(self) -> Sequence[ObjectStore]:
        """Object stores of other installations on this machine, to take objects from instead of the network."""
        ...

    @property
    def config(self) -> Config:
        """The configuration that was applied when the attempt began."""
        ...

    @property
    def paths(self) -> StatePaths:
        """Where served trees and derived files are."""
        ...

    def now(self) -> datetime:
        """The time, aware, UTC."""
        ...

    def log(self, line: str) -> None:
        """Add a line to the job's log."""
        ...

    def progress(self, stage: str, done: int, total: int, unit: str) -> None:
        """Say how far a long action is; cheap enough for every item."""
        ...

    def check_cancelled(self) -> None:
        """Raise Interrupted if somebody wants the job to stop."""
        ...

    def signer(self, *credentials: str) -> Signer:
        """Give the signer of a role, which signs with all of these keys; only actions see one. Raises Refused for a weak key."""
        ...


@dataclass(frozen=True, slots=True)
class Action:
    """A step that touches our own state: a plain function, safe to repeat."""

    name: str
    perform: Callable[[Context, Inputs, Earlier], StepResult]


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What a finished job leaves: outputs for the job row, and events written in the same transaction.

    heir: who needs from then on what the job needed, its outputs and what its events name (`build 12`); "" if every one of them
    has a holder of its own already.
    """

    outputs: Mapping[str, Json]
    message: str
    events: Sequence[Event] = ()
    heir: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """A step that was judged not ok. outputs: what it left; findings: of all steps so far; stage: as its judge said."""

    step: str
    outcome: Outcome
    message: str
    outputs: Outputs
    findings: Sequence[Finding]
    stage: str = ""


@dataclass(frozen=True, slots=True)
class KindName:
    """A kind of job and the version of its steps: part of every job's identity.

    The version grows whenever a plan changes for the same inputs; tests/habits/test_kind_versions.py notices if it was forgotten.
    """

    name: str
    version: int


@dataclass(frozen=True, slots=True)
class JobKind:
    """A kind of job: its steps in order, and what follows from them (pure; gets the time and the job's number).

    conclude_failed: what follows from a step that was judged FAILED, TIMED_OUT or SKIPPED.
    """

    kind: KindName
    steps: tuple[Step | Action, ...]
    conclude: Callable[[Inputs, Earlier, datetime, int], Conclusion]
    conclude_failed: Callable[[Inputs, Earlier, Failure, datetime, int], Conclusion] | None = None
