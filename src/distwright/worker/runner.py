"""The local runner: turns a plan into programs on this machine and reports what they did. Knows nothing of jobs."""

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Protocol

from distwright.errors import BadInput, DistwrightError, NotFound, OutOfSpace, ProgramFailed, Refused
from distwright.formats.log_text import log_text
from distwright.jobs.limits import NO_LIMITS, Limits, blames_machine, is_limit, words_of
from distwright.jobs.step import CommandEnd, Fetched, Plan, PlannedCommand, ShelfEntry, StepEnd, Verdict
from distwright.model.digests import Json, Sha256, digest_of
from distwright.model.outcomes import Outcome
from distwright.net.listen import LoopbackServer
from distwright.store.objects import ObjectStore
from distwright.store.paths import StatePaths
from distwright.store.settle import settle_file_system
from distwright.tools.architectures import look_at_machine, way_to_run
from distwright.tools.dpkg import installed_versions
from distwright.tools.qemu import QEMU, accelerator
from distwright.tools.run import ENVIRONMENT, Command, Finished, last_lines, run, run_in_terminal
from distwright.tools.sandbox import Door, RootFolders, Sandbox
from distwright.worker.guard import Guard, guarding
from distwright.worker.space import SpaceGauge
from distwright.worker.workfolder import collect, collect_found, fill

_TAIL_LINES = 15
_ACCELERATOR = re.compile(r"\{accel:([a-z]+)\}")
ENTERED = "entered"  # what the work folders of people begin with, in place of a job's number
_LOG = "log"  # in the work folder, where only we see it


class StepShelf(Protocol):
    """What a step's programs may read of archives."""

    def find(self, path: str) -> tuple[BinaryIO, int]:
        """Open a file by its path; raise NotFound, Lost, Refused or Unreachable. Called from several threads."""
        ...

    @property
    def fetched(self) -> tuple[Fetched, ...]:
        """The pool files given so far."""
        ...

    @property
    def passed_limit(self) -> bool:
        """Whether more was asked for than may be."""
        ...


class StepContext(Protocol):
    """What a runner needs to know of where it runs: of a job's attempt, or of a builder (worker/builder.py)."""

    @property
    def paths(self) -> StatePaths:
        """Where work folders, roots and logs are."""
        ...

    @property
    def objects(self) -> ObjectStore:
        """What the step is filled from, and where its outputs go."""
        ...

    @property
    def sandbox(self) -> Sandbox:
        """Who runs programs."""
        ...

    @property
    def job(self) -> int:
        """What the work folder is called after."""
        ...

    @property
    def fence(self) -> int:
        """The same."""
        ...

    @property
    def limits(self) -> Limits:
        """Limits of programs whose plans say nothing of it."""
        ...

    @property
    def is_cancelled(self) -> Callable[[], bool]:
        """Say whether to stop."""
        ...

    @property
    def log_path(self) -> Path:
        """The file that programs print to."""
        ...

    def log(self, line: str) -> None:
        """Add a line to it."""
        ...

    def shelf(self, entries: Sequence[ShelfEntry], limit_bytes: int) -> StepShelf:
        """Give the archives that a step's programs may read."""
        ...


@dataclass(frozen=True, slots=True)
class _Tokens:
    work: str
    server: LoopbackServer

    def fill_in(self, text: str, plan: Plan, accel: Callable[[str], str]) -> str:
        text = text.replace("{work}", self.work)
        for entry in plan.shelf:
            text = text.replace(f"{{shelf:{entry.name}}}", f"{self.server.url}/{entry.folder}")
        return _ACCELERATOR.sub(lambda match: accel(match[1]), text)


class LocalRunner:
    """Runs plans in work folders below `run/work`, with unpacked roots below `cache/roots`."""

    def __init__(self, context: StepContext, remove: Callable[[Path], None] | None = None) -> None:
        """Use the context of one attempt. remove: removes a work folder, now or soon; unset: now."""
        self._context = context
        self._remove_folder = remove or context.sandbox.remove

    def key(self, plan: Plan) -> Sha256:
        """Say the identity of a plan on this machine: the plan and the versions of the host programs it names.

        Not its limits: what ended well within some is what would have come out within others.
        """
        versions: dict[str, Json] = dict(installed_versions(plan.programs))
        unlimited = replace(plan, commands=tuple(replace(command, limits=NO_LIMITS) for command in plan.commands))
        return digest_of({"plan": unlimited.to_json(), "host": versions})

    def run(self, step: str, plan: Plan, judge: Callable[[StepEnd], Verdict]) -> tuple[StepEnd, Verdict]:
        """Run the commands in order until one fails, and have it judged; keep the outputs if none did or the judge is content.

        An output that is missing then, or is no plain file, is a verdict of its own: FAILED.
        Raises errors of our own side only: no space, objects that are gone, upstream unreachable while a program read from it.
        """
        context = self._context
        work = context.paths.work / f"{context.job}-{context.fence}-{step}"
        context.sandbox.remove(work)
        with objects_of_ours():
            shelf = context.shelf(plan.shelf, disk_limit_bytes(plan, context.limits))
        try:
            self._look_for_machine(plan)
            with LoopbackServer(shelf.find) as server:
                tokens = _Tokens(str(work / "files"), server)
                self._fill(plan, work, tokens)
                gauge = SpaceGauge(work, context.is_cancelled)
                ends = self._run_all(plan, work, tokens, gauge)
            mark_passed_shelf(shelf, ends, disk_limit_bytes(plan, context.limits))
            failed = has_failed(ends)
            was_limited = bool(ends) and is_limit(ends[-1].cut)
            if ends:
                self._refuse_small_machine(ends[-1].cut, plan.commands[len(ends) - 1].limits)
            # What a program asked for again and got has done no harm, unless it gave up all the same.
            trouble = server.errors if failed else server.unserved
            if trouble and not shelf.passed_limit:
                raise DistwrightError(trouble[0].message, hint=trouble[0].hint) from trouble[0]
            if failed and gauge.was_empty and not was_limited:
                raise _no_space(work)
            end = StepEnd(plan, tuple(ends), {}, shelf.fetched, self._text(plan, work))
            return self._judged(work, end, judge, failed=failed)
        except OSError as error:
            raise our_fault(error, work) from error
        finally:
            self._remove(work)

    def _remove(self, work: Path) -> None:
        """Remove the work folder. That it cannot be done now changes nothing of what was found out: the next worker does it."""
        try:
            self._remove_folder(work)
        except (DistwrightError, OSError) as error:
            self._context.log(f"{work.name} is left for the next worker to remove: {error}")

    def _judged(
        self, work: Path, end: StepEnd, judge: Callable[[StepEnd], Verdict], *, failed: bool
    ) -> tuple[StepEnd, Verdict]:
        objects, files = self._context.objects, work / "files"
        limit_bytes = disk_limit_bytes(end.plan, self._context.limits)
        always = collect_found(files, end.plan.collect_always, objects, self._context.log, limit_bytes=limit_bytes)
        if end.plan.keep_log:
            always[end.plan.keep_log] = objects.put_file(work / _LOG)
        end = replace(end, outputs=always)
        return judged(
            end, judge, lambda: collect(files, end.plan.collect, objects, limit_bytes=limit_bytes), failed=failed
        )

    def _refuse_small_machine(self, cut: str, planned: Limits) -> None:
        """A limit that only this machine's size made so low is its fault, not the work's. Raises ProgramFailed."""
        if blames_machine(cut, planned, planned.or_else(self._context.limits)):
            what = "space" if cut.startswith("disk") else "memory"
            raise ProgramFailed(
                f"no {what} left for the job: it came to the {cut} that this machine sets for itself",
                hint="look at df -h and free -m; free some, or let a worker elsewhere take the job",
            )

    def _text(self, plan: Plan, work: Path) -> str:
        if not plan.keep_log:
            return ""
        with (work / _LOG).open("rb") as file:
            return log_text(file)

    def _run_all(self, plan: Plan, work: Path, tokens: _Tokens, gauge: SpaceGauge) -> list[CommandEnd]:
        ends: list[CommandEnd] = []
        for number, planned in enumerate(plan.commands):
            finished = self._run_one(planned, plan, work, number, tokens, gauge)
            tail = tuple(last_lines(finished.stdout or finished.stderr, _TAIL_LINES))
            missed = planned.until is not None and not finished.saw and not finished.cut
            cut = f"the end, without showing {planned.until!r}" if missed else finished.cut
            ends.append(CommandEnd(0 if finished.saw else finished.exit_code, cut, tail))
            if ends[-1].cut or ends[-1].exit_code != 0:
                break
        return ends

    def _run_one(
        self, planned: PlannedCommand, plan: Plan, work: Path, number: int, tokens: _Tokens, gauge: SpaceGauge
    ) -> Finished:
        context = self._context
        argv, environment = self._spoken(planned, plan, tokens)
        limits = planned.limits.or_else(context.limits)
        context.log(f"$ {Command(argv, 0).shown}")
        with contextlib.ExitStack() as stack:
            wrapped, door = self._wrapped(argv, planned, work, number, tokens, stack)
            guard = stack.enter_context(guarding(limits, work, context.sandbox, f"{os.getpid()}-{work.name}-{number}"))
            command = Command(
                guard.wrapped(wrapped),
                timeout_s=limits.hours * 3600 or planned.timeout_s,
                environment={"HOME": "/nonexistent", **environment},
                cwd=work / "files",
                log=context.log_path,
                copy=work / _LOG if plan.keep_log else None,
                output_limit_bytes=limits.output_mb << 20,
                until=(planned.until or "").encode(),
                never=(planned.never or "").encode(),
                keep_fds=() if door is None else (door.channel,),
            )
            finished = run(command, is_cancelled=gauge.look, watch=guard.look)
            gauge.look()
            return _with_cut(finished, guard, argv[0])

    def enter(self, plan: Plan, program: Sequence[str], say: Callable[[str], None]) -> int:
        """Start a program with this process's terminal where a step's programs start; give its exit code.

        It has their files, their root, their environment, their door to the shelf; no limits. say: gets the command lines that
        would have run. Nothing that it leaves is kept. Raises what `run` raises before its first program.
        """
        context = self._context
        work = context.paths.work / f"{ENTERED}-{os.getpid()}"
        planned = plan.commands[-1]
        self._look_for_machine(plan)
        try:
            with objects_of_ours(), contextlib.ExitStack() as stack:
                shelf = context.shelf(plan.shelf, disk_limit_bytes(plan, context.limits))
                tokens = _Tokens(str(work / "files"), stack.enter_context(LoopbackServer(shelf.find)))
                self._fill(plan, work, tokens)
                for each in plan.commands:
                    say(Command(self._spoken(each, plan, tokens)[0], 0).shown)
                wrapped, door = self._wrapped(program, planned, work, 0, tokens, stack)
                environment = {"HOME": "/nonexistent", **self._spoken(planned, plan, tokens)[1]}
                kept = () if door is None else (door.channel,)
                return run_in_terminal(Command(wrapped, 0, environment=environment, cwd=work / "files", keep_fds=kept))
        finally:
            self._remove(work)

    def _fill(self, plan: Plan, work: Path, tokens: _Tokens) -> None:
        filled = {name: self._filled(text, tokens, plan, rooted=False) for name, text in plan.templates.items()}
        work.mkdir(parents=True)
        with objects_of_ours():
            fill(work / "files", plan.place, {**plan.write, **filled}, self._context.objects, self._context.sandbox)

    def _spoken(self, planned: PlannedCommand, plan: Plan, tokens: _Tokens) -> tuple[tuple[str, ...], dict[str, str]]:
        """Give the words and the environment of a command, with the places of this machine."""

        def filled(text: str) -> str:
            return self._filled(text, tokens, plan, rooted=planned.root is not None)

        return tuple(map(filled, planned.argv)), {name: filled(text) for name, text in planned.environment}

    def _wrapped(
        self, argv: Sequence[str], planned: PlannedCommand, work: Path, number: int, tokens: _Tokens, stack: contextlib.ExitStack,
    ) -> tuple[tuple[str, ...], Door | None]:  # fmt: skip
        """Put a program where a planned one runs: alone or in its root, with the door if it reads the shelf."""
        sandbox, door = self._context.sandbox, None
        if planned.reads_shelf:
            door = Door(stack.enter_context(tokens.server.door()), tokens.server.port)
        if planned.root is None:
            return sandbox.alone_argv(argv, door, sees_kvm=_is_machine(argv, planned)), door
        return sandbox.rooted_argv(self._root_folders(planned.root, work, number), argv, door), door

    def _look_for_machine(self, plan: Plan) -> None:
        if way := look_for_architecture(plan):
            self._context.log(way)
        look_for_programs(plan)

    def _root_folders(self, root: Sha256, work: Path, number: int) -> RootFolders:
        context = self._context
        lower = context.paths.roots / root
        if not lower.exists():
            fresh = context.paths.roots / f"new-{os.getpid()}-{root}"
            context.sandbox.remove(fresh)
            try:
                with objects_of_ours():
                    packed = context.objects.local_path(root)
                context.sandbox.unpack(packed, fresh)
                # Its name is all that anybody asks for later, so that must not reach the disk before the content.
                settle_file_system(context.paths.roots)
                with contextlib.suppress(OSError):  # somebody else was faster
                    fresh.rename(lower)
            finally:
                context.sandbox.remove(fresh)
        base = work / f"root-{number}"
        folders = RootFolders(lower, base / "upper", base / "scratch", base / "merged", work / "files")
        for folder in (base, folders.upper, folders.scratch, folders.merged):
            context.sandbox.make_folder(folder)
        return folders

    def _filled(self, text: str, tokens: _Tokens, plan: Plan, *, rooted: bool) -> str:
        seen = _Tokens("/work", tokens.server) if rooted else tokens
        cache, sandbox = self._context.paths.cache, self._context.sandbox
        return seen.fill_in(text, plan, lambda kernel: accelerator(cache, sandbox, Path(tokens.work) / kernel))


def _is_machine(argv: Sequence[str], planned: PlannedCommand) -> bool:
    """Say whether what starts is the virtual machine of a plan: no shell in its place, and no package that is called so."""
    asks = any(map(_ACCELERATOR.fullmatch, planned.argv))
    return asks and argv[0] == planned.argv[0] == QEMU


def _with_cut(finished: Finished, guard: Guard, name: str) -> Finished:
    """Name the limit for which the kernel has ended a program. One that this machine had no memory for raises ProgramFailed."""
    if finished.cut or finished.saw:
        return finished
    cut = guard.last_look()
    if not cut and guard.was_robbed(finished.exit_code):
        raise ProgramFailed(
            f"{name} had passed no limit when this machine had no memory left for it, or no processes",
            hint="look at journalctl --dmesg --grep 'Out of memory' and at TasksMax of the service; let fewer jobs run here",
        )
    return replace(finished, cut=cut)


def disk_limit_bytes(plan: Plan, limits: Limits) -> int:
    """Say how much a step may leave and may fetch: as much as its programs may write, though files can be longer than that.

    limits: of programs whose plans say nothing of it.
    """
    each = [command.limits.or_else(limits).disk_mb for command in plan.commands]
    return max(each, default=limits.disk_mb) << 20


def has_failed(ends: Sequence[CommandEnd]) -> bool:
    """Say whether a command did not end well, or none was started."""
    return not ends or ends[-1].cut != "" or ends[-1].exit_code != 0


def mark_passed_shelf(shelf: StepShelf, ends: list[CommandEnd], limit_bytes: int) -> None:
    """Let the last command have ended for asking the shelf for too much, if that is so and nothing else was said."""
    if shelf.passed_limit and ends and not ends[-1].cut:
        ends[-1] = replace(ends[-1], cut=words_of("fetch", limit_bytes >> 20))


def judged(
    end: StepEnd, judge: Callable[[StepEnd], Verdict], collect_rest: Callable[[], Mapping[str, Sha256]], *, failed: bool
) -> tuple[StepEnd, Verdict]:
    """Have a step judged, whose outputs are so far those that are kept always; keep the rest if it is content.

    collect_rest: gives the rest; what it raises of missing or strange outputs (BadInput, Refused) is a verdict: FAILED.
    """
    if failed:
        verdict = judge(end)
        if verdict.outcome is not Outcome.OK:
            return end, verdict
    try:
        whole = replace(end, outputs={**end.outputs, **collect_rest()})
    except (BadInput, Refused) as error:
        return end, Verdict(Outcome.FAILED, f"{error.message} ({error.hint})")
    return whole, verdict if failed else judge(whole)


def look_for_architecture(plan: Plan) -> str:
    """Say how this machine runs the plan's programs; "" if nothing is said of it.

    One that cannot run them is our fault, not the work's, and another machine may. Raises ProgramFailed.
    """
    if not plan.architecture:
        return ""
    way = way_to_run(look_at_machine(), plan.architecture)
    if not way.is_there:
        raise ProgramFailed(way.what, hint=f"see distwright doctor, or: {way.hint}")
    return way.what


def look_for_programs(plan: Plan) -> None:
    """A machine without a program is our fault, not the work's. Raises ProgramFailed."""
    packages = sorted(set(plan.programs) - set(installed_versions(plan.programs)))
    if packages:
        raise ProgramFailed(
            f"Debian packages are not installed here: {', '.join(packages)}",
            hint=f"sudo apt-get install {' '.join(packages)}",
        )
    for name in (planned.argv[0] for planned in plan.commands if planned.root is None):
        if "/" not in name and shutil.which(name, path=ENVIRONMENT["PATH"]) is None:
            raise ProgramFailed(f"program {name} is not installed here", hint="distwright doctor")


@contextlib.contextmanager
def objects_of_ours() -> Iterator[None]:
    """An input that is gone from the store, or rotten, is our fault, not the work's."""
    try:
        yield
    except (NotFound, BadInput, Refused) as error:
        raise DistwrightError(error.message, hint=error.hint) from error


def _no_space(work: Path) -> OutOfSpace:
    return OutOfSpace(
        f"no space left below {work}", hint="free some space (df -h, df -i), then run the same command again"
    )


def our_fault(error: OSError, work: Path) -> DistwrightError:
    """Say that what a work folder's disk refuses is our fault."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _no_space(work)
    return DistwrightError(f"the work folder {work} does not work: {error}", hint="distwright doctor")
