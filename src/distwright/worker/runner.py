"""The local runner: turns a plan into programs on this machine and reports what they did. Knows nothing of jobs."""

import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from distwright.archive.shelf import Shelf
from distwright.errors import BadInput, DistwrightError, NotFound, OutOfSpace, Refused
from distwright.jobs.step import CommandEnd, Plan, PlannedCommand, StepEnd, Verdict
from distwright.model.digests import Json, Sha256, digest_of
from distwright.model.outcomes import Outcome
from distwright.net.listen import LoopbackServer
from distwright.tools.dpkg import installed_versions
from distwright.tools.qemu import accelerator
from distwright.tools.run import Command, Finished, last_lines, run
from distwright.tools.sandbox import RootFolders
from distwright.worker.context import JobContext
from distwright.worker.workfolder import collect, collect_found, fill

_TAIL_LINES = 15
_NO_SPACE = os.strerror(errno.ENOSPC)  # programs run with LC_ALL=C.UTF-8, so this is what they print
_ACCELERATOR = re.compile(r"\{accel:([a-z]+)\}")
_LOG_LIMIT_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class _Tokens:
    work: str
    shelf_url: str

    def fill_in(self, text: str, plan: Plan, accel: Callable[[str], str]) -> str:
        text = text.replace("{work}", self.work)
        for entry in plan.shelf:
            text = text.replace(f"{{shelf:{entry.name}}}", f"{self.shelf_url}/{entry.archive}")
        return _ACCELERATOR.sub(lambda match: accel(match[1]), text)


class LocalRunner:
    """Runs plans in work folders below `run/work`, with unpacked roots below `cache/roots`."""

    def __init__(self, context: JobContext) -> None:
        """Use the context of one attempt."""
        self._context = context

    def key(self, plan: Plan) -> Sha256:
        """Say the identity of a plan on this machine: the plan and the versions of the host programs it names."""
        versions: dict[str, Json] = dict(installed_versions(plan.programs))
        return digest_of({"plan": plan.to_json(), "host": versions})

    def run(self, step: str, plan: Plan, judge: Callable[[StepEnd], Verdict]) -> tuple[StepEnd, Verdict]:
        """Run the commands in order until one fails, and have it judged; keep the outputs if none did or the judge is content.

        An output that is missing then, or is no plain file, is a verdict of its own: FAILED.
        Raises errors of our own side only: no space, objects that are gone, upstream unreachable while a program read from it.
        """
        context = self._context
        work = context.paths.work / f"{context.job}-{context.fence}-{step}"
        context.sandbox.remove(work)
        with _objects_of_ours():
            shelf = Shelf(plan.shelf, context, context.paths.cache / "pool", mirrors=context.mirrors)
        try:
            with LoopbackServer(shelf.find) as server:
                tokens = _Tokens(str(work / "files"), server.url)
                filled = {name: self._filled(text, tokens, plan, rooted=False) for name, text in plan.templates.items()}
                written = {**plan.write, **filled}
                work.mkdir(parents=True)
                with _objects_of_ours():
                    fill(work / "files", plan.place, written, context.objects, context.sandbox)
                ends = self._run_all(plan, work, tokens)
            if server.errors:
                raise server.errors[0]
            failed = not ends or ends[-1].cut != "" or ends[-1].exit_code != 0
            if failed and any(_NO_SPACE in line for line in ends[-1].tail):
                raise _no_space(work)
            return self._judged(work / "files", StepEnd(plan, tuple(ends), {}, shelf.fetched), judge, failed=failed)
        except OSError as error:
            raise _our_fault(error, work) from error
        finally:
            context.sandbox.remove(work)

    def _judged(
        self, files: Path, end: StepEnd, judge: Callable[[StepEnd], Verdict], *, failed: bool
    ) -> tuple[StepEnd, Verdict]:
        objects = self._context.objects
        always = collect_found(files, end.plan.collect_always, objects, self._context.log)
        end = replace(end, outputs=always)
        if failed:
            verdict = judge(end)
            if verdict.outcome is not Outcome.OK:
                return end, verdict
        try:
            whole = replace(end, outputs={**always, **collect(files, end.plan.collect, objects)})
        except (BadInput, Refused) as error:
            return end, Verdict(Outcome.FAILED, f"{error.message} ({error.hint})")
        return whole, verdict if failed else judge(whole)

    def _run_all(self, plan: Plan, work: Path, tokens: _Tokens) -> list[CommandEnd]:
        ends: list[CommandEnd] = []
        for number, planned in enumerate(plan.commands):
            finished = self._run_one(planned, plan, work, number, tokens)
            tail = tuple(last_lines(finished.stdout or finished.stderr, _TAIL_LINES))
            missed = planned.until is not None and not finished.saw and not finished.cut
            cut = f"the end, without showing {planned.until!r}" if missed else finished.cut
            ends.append(CommandEnd(0 if finished.saw else finished.exit_code, cut, tail))
            if ends[-1].cut or ends[-1].exit_code != 0:
                break
        return ends

    def _run_one(self, planned: PlannedCommand, plan: Plan, work: Path, number: int, tokens: _Tokens) -> Finished:
        context = self._context
        argv = tuple(self._filled(word, tokens, plan, rooted=planned.root is not None) for word in planned.argv)
        environment = {
            name: self._filled(text, tokens, plan, rooted=planned.root is not None)
            for name, text in planned.environment
        }
        context.log(f"$ {Command(argv, 0).shown}")
        if planned.root is None:
            wrapped = context.sandbox.argv(argv)
        else:
            wrapped = context.sandbox.rooted_argv(
                self._root_folders(planned.root, work, number), argv, reads_shelf=planned.reads_shelf
            )
        command = Command(
            wrapped,
            timeout_s=planned.timeout_s,
            environment={"HOME": "/nonexistent", **environment},
            cwd=work / "files",
            log=context.log_path,
            output_limit_bytes=_LOG_LIMIT_BYTES,
            until=(planned.until or "").encode(),
            never=(planned.never or "").encode(),
        )
        return run(command, is_cancelled=context.is_cancelled)

    def _root_folders(self, root: Sha256, work: Path, number: int) -> RootFolders:
        context = self._context
        lower = context.paths.roots / root
        if not lower.exists():
            fresh = context.paths.roots / f"new-{os.getpid()}-{root}"
            context.sandbox.remove(fresh)
            try:
                with _objects_of_ours():
                    packed = context.objects.local_path(root)
                context.sandbox.unpack(packed, fresh)
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
        seen = _Tokens("/work", tokens.shelf_url) if rooted else tokens
        cache, sandbox = self._context.paths.cache, self._context.sandbox
        return seen.fill_in(text, plan, lambda kernel: accelerator(cache, sandbox, Path(tokens.work) / kernel))


@contextlib.contextmanager
def _objects_of_ours() -> Iterator[None]:
    """An input that is gone from the store is our fault, not the work's."""
    try:
        yield
    except NotFound as error:
        raise DistwrightError(error.message, hint=error.hint) from error


def _no_space(work: Path) -> OutOfSpace:
    return OutOfSpace(
        f"no space left below {work}", hint="free some space (df -h, df -i), then run the same command again"
    )


def _our_fault(error: OSError, work: Path) -> DistwrightError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _no_space(work)
    return DistwrightError(f"the work folder {work} does not work: {error}", hint="distwright doctor")
