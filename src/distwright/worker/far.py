"""Steps that are carried out on builders. What a builder says is hostile: what counts of it is decided and hashed here.

A builder gets the plan, the bytes that the plan names, and what its programs read of the plan's archives; nothing else, whatever it
asks for. Whatever it does wrong is `Unreachable`, with its name: the attempt is BROKEN, and the next one is made elsewhere.
"""

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from distwright import __version__
from distwright.archive.shelf import Shelf
from distwright.errors import (
    BadInput,
    Busy,
    DistwrightError,
    Lost,
    NotFound,
    OutOfSpace,
    ProgramFailed,
    Refused,
    Unreachable,
    quoted,
)
from distwright.formats.frames import PIECE_BYTES, Note, Piece
from distwright.formats.log_text import log_text
from distwright.jobs.step import Plan, StepEnd, Verdict
from distwright.model import plain
from distwright.model.digests import Sha256
from distwright.store.hosts import see_host
from distwright.tools.dpkg import installed_versions
from distwright.tools.link import Link, refused_note
from distwright.tools.run import Command, conversing
from distwright.worker.builders import Builder, in_turn, time_limit_s
from distwright.worker.context import JobContext
from distwright.worker.far_answers import Ended, read_ended
from distwright.worker.runner import disk_limit_bytes, has_failed, judged, mark_passed_shelf, objects_of_ours, our_fault

LOG = 0  # the number of what programs print
NOTE_LIMIT_BYTES = 4 << 20  # of a builder's
_POLL_S, _BEGIN_S = 0.2, 300.0  # it may have to tidy up first
_AGAIN_S = 60.0  # a builder that could not be reached is let alone for so long
_LOG_MORE_BYTES = 16 << 20
_ASKED_AT_ONCE, _ASKED_OFTEN, _PATH_SIGNS = 256, 8, 4096
_NUMBERS = 1 << 63  # a frame has eight bytes for one
_FREE_BYTES = 256 << 20


class UnfitError(Exception):
    """A builder cannot have this step: nothing of it was begun there."""


class LocalRun(Protocol):
    """Carries a step out here."""

    def run(self, step: str, plan: Plan, judge: Callable[[StepEnd], Verdict]) -> tuple[StepEnd, Verdict]:
        """Carry it out."""
        ...


@dataclass(frozen=True, slots=True)
class Carried:
    """How a step ended, and which builder says so; "" for none: it was carried out here."""

    end: StepEnd
    verdict: Verdict
    builder: str = ""


def carry_out(
    step: str, plan: Plan, judge: Callable[[StepEnd], Verdict], here: LocalRun, context: JobContext
) -> Carried:
    """Carry a step out on the first builder that takes it, else here.

    Raises what LocalRunner.run raises; Unreachable, with the builder's name, for whatever goes wrong on one that has begun.
    """
    builders = in_turn(context.builders, context.job, context.tried) if plan.commands else ()
    for builder in builders:
        unfit = context.paths.root / "run" / "builders" / f"{builder.name}.unfit"
        if time.time() - _changed(unfit) < _AGAIN_S:
            continue
        try:
            return Carried(*_run_there(builder, plan, judge, context), builder.name)
        except UnfitError as error:
            context.log(f"builder {builder.name} does not take {step}: {error}")
            if not isinstance(error.__cause__, Busy):
                unfit.parent.mkdir(parents=True, exist_ok=True)
                unfit.touch()
    return Carried(*here.run(step, plan, judge))


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _run_there(
    builder: Builder, plan: Plan, judge: Callable[[StepEnd], Verdict], context: JobContext
) -> tuple[StepEnd, Verdict]:
    try:
        with contextlib.ExitStack() as stack:
            try:
                pipes = stack.enter_context(conversing(Command(builder.argv, 0, grace_s=1)))
                said = {"said": pipes.said, "note_limit_bytes": NOTE_LIMIT_BYTES}
                link = stack.enter_context(Link(pipes.back, pipes.to, silence_s=builder.silence_s, **said))
                _begin(link, builder, plan, context)
            except (Unreachable, ProgramFailed, BadInput) as error:
                raise UnfitError(error.message) from error
            with objects_of_ours():
                shelf = context.shelf(plan.shelf, disk_limit_bytes(plan, context.limits))
            asked = stack.enter_context(contextlib.closing(_Answers(context, shelf, plan, link)))
            return _Far(builder, plan, context, link, shelf, asked).carried(judge)
    except OSError as error:
        raise our_fault(error, context.paths.root) from error


def _begin(link: Link, builder: Builder, plan: Plan, context: JobContext) -> None:
    """Have it begin. Raises UnfitError where it does not want to, Unreachable, BadInput."""
    programs = dict(installed_versions(plan.programs))
    link.say(
        "step", version=__version__, slots=builder.slots, plan=plan.to_json(), programs=programs,
        look=context.check_cancelled,
    )  # fmt: skip
    until = time.monotonic() + _BEGIN_S
    while (note := link.hear(_POLL_S)) is None:
        context.check_cancelled()
        if time.monotonic() > until:
            raise Unreachable("it does not begin", hint="see what runs on the builder")
    if isinstance(note, Note) and note.says == "refused":
        why = quoted(plain.text(note.values, "why"), 300)
        if plain.flag(note.values, "busy"):
            raise UnfitError(why) from Busy(why, hint="try again later")
        raise UnfitError(why)
    if not isinstance(note, Note) or note.says != "begun":
        raise refused_note(note, "begun")
    context.log(f"builder {builder.name} has begun")
    with contextlib.suppress(Busy), context.database.write() as tx:  # only people want to know
        see_host(tx, builder.name, __version__, context.now())


@dataclass(slots=True)
class _Far:
    """One step on one builder."""

    builder: Builder
    plan: Plan
    context: JobContext
    link: Link
    shelf: Shelf
    asked: "_Answers"
    _log_bytes: int = 0
    _began: float = field(default_factory=time.monotonic)

    def carried(self, judge: Callable[[StepEnd], Verdict]) -> tuple[StepEnd, Verdict]:
        """Follow the step to its end, take its outputs, and have it judged."""
        limit_bytes = disk_limit_bytes(self.plan, self.context.limits)
        with self._its_fault():
            note = self._ended()
            said = read_ended(note, self.plan, limit_bytes) if note.says == "ended" else None
            why = quoted(plain.text({"why": "", **note.values}, "why"), 300)
        if said is None or has_failed(said.ends):
            self.asked.raise_trouble(only_unserved=False)
        if said is None:
            raise Unreachable(f"builder {self.builder.name} gave up: {why}", hint="distwright job log JOB")
        self.asked.raise_trouble(only_unserved=True)
        ends = list(said.ends)
        mark_passed_shelf(self.shelf, ends, limit_bytes)
        always = self._pulled(said.always)
        end = StepEnd(self.plan, tuple(ends), always, self.shelf.fetched, self._text(always))
        done = judged(end, judge, lambda: self._rest(said), failed=has_failed(ends))
        self.link.part("bye")
        return done

    def _rest(self, said: Ended) -> Mapping[str, Sha256]:
        if said.problem:
            raise Refused(said.problem, hint="distwright job log JOB")
        return self._pulled(said.rest)

    def _text(self, always: Mapping[str, Sha256]) -> str:
        if not self.plan.keep_log:
            return ""
        with self.context.objects.open(always[self.plan.keep_log]) as file:
            return log_text(file)

    def _ended(self) -> Note:
        while True:
            frame = self._next()
            if isinstance(frame, Piece):
                raise refused_note(frame, "a note")
            if frame.says in ("ended", "broken"):
                return frame
            self.asked.answer(frame)

    def _next(self) -> Note | Piece:
        """Give what comes next and is no part of the log. Raises Interrupted, and what keeps us from answering."""
        while True:
            self.context.check_cancelled()
            self.asked.raise_own()
            limit_s = time_limit_s(self.builder, self.plan)
            if time.monotonic() - self._began > limit_s:
                raise Unreachable(f"it takes longer than {limit_s:.0f} s for all", hint="distwright job log JOB")
            frame = self.link.hear(_POLL_S)
            if isinstance(frame, Piece) and frame.of == LOG:
                self._add_to_log(frame.content)
            elif frame is not None:
                return frame

    def _add_to_log(self, content: bytes) -> None:
        self._log_bytes += len(content)
        limits = [command.limits.or_else(self.context.limits).output_mb for command in self.plan.commands]
        if self._log_bytes > (sum(limits) << 20) + _LOG_MORE_BYTES:
            raise Unreachable("it prints without end", hint="distwright job log JOB")
        with self.context.log_path.open("ab", buffering=0) as file:
            file.write(content)

    def _pulled(self, sizes: Mapping[str, int]) -> dict[str, Sha256]:
        with self._its_fault():
            return {name: self._pull(number, name, sizes[name]) for number, name in enumerate(sorted(sizes), start=1)}

    def _pull(self, of: int, name: str, size: int) -> Sha256:
        """Take one output. It is always sent, known or not: else a builder could name what we have and it must not read."""
        disk = os.statvfs(self.context.paths.root)
        if size > disk.f_bavail * disk.f_frsize - _FREE_BYTES:
            raise OutOfSpace(f"output {quoted(name)} has {size} bytes, which are not free here", hint="free some space")
        self.link.say("give", of=of, name=name, look=self.context.check_cancelled)
        with self.context.objects.writing() as writer:
            while isinstance(frame := self._next(), Piece):
                if frame.of != of or writer.size_bytes + len(frame.content) > size:
                    raise refused_note(frame, f"the rest of {quoted(name)}")
                writer.write(frame.content)
            if frame.says != "given":
                raise refused_note(frame, "given")
            if writer.size_bytes != size or plain.digest(frame.values, "sha256") != writer.digest:
                raise BadInput(f"it gave other bytes of {quoted(name)} than it said", hint="run the same job again")
        return writer.digest

    @contextlib.contextmanager
    def _its_fault(self) -> Iterator[None]:
        try:
            yield
        except (BadInput, Unreachable) as error:
            raise Unreachable(f"builder {self.builder.name}: {error.message}", hint=error.hint) from error


@dataclass(frozen=True, slots=True)
class _Offer:
    """Bytes that a builder may have. open: gives them."""

    size_bytes: int
    open: Callable[[], BinaryIO]


class _Answers:
    """Answers what a builder asks for while a step runs: files of its archives by path, bytes of what was offered by digest."""

    def __init__(self, context: JobContext, shelf: Shelf, plan: Plan, link: Link) -> None:
        """Offer what the plan names."""
        self._shelf, self._link = shelf, link
        objects = context.objects
        named = {*plan.place.values(), *(command.root for command in plan.commands if command.root is not None)}
        with objects_of_ours():
            self._offered = {digest: _offer_of(digest, objects.size(digest), objects.open) for digest in named}
        self._asked: dict[str, int] = {}
        self._own: list[Exception] = []
        self._troubles: list[DistwrightError] = []
        self._unserved: dict[str, DistwrightError] = {}
        self._threads = ThreadPoolExecutor(max_workers=8)
        self._room = threading.BoundedSemaphore(_ASKED_AT_ONCE)

    def close(self) -> None:
        """Answer nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def raise_own(self) -> None:
        """Raise what kept us from answering: our own fault, or that nothing was taken."""
        if self._own:
            with objects_of_ours():
                raise self._own[0]

    def raise_trouble(self, *, only_unserved: bool) -> None:
        """Raise what upstream or a disk had against a file that was asked for; only_unserved: unless it was given in the end."""
        found = list(self._unserved.values()) if only_unserved else self._troubles
        if found and not self._shelf.passed_limit:
            raise DistwrightError(found[0].message, hint=found[0].hint) from found[0]

    def answer(self, note: Note) -> None:
        """Begin to answer; raise BadInput for what no builder of ours asks."""
        of = plain.number(note.values, "of")
        if not 0 < of < _NUMBERS:
            raise BadInput("it gives a question a number that there is not", hint="see what runs on the builder")
        if note.says == "find":
            path = plain.text(note.values, "path")
            if len(path) > _PATH_SIGNS:
                raise BadInput("it asks for a path without end", hint="see what runs on the builder")
            self._submit(lambda: self._find(of, path))
        elif note.says == "want":
            digest, offset = plain.digest(note.values, "sha256"), plain.number(note.values, "offset")
            offer = self._offered.get(digest)
            if offer is None or not 0 <= offset <= offer.size_bytes:
                raise BadInput(
                    f"it asks for {digest}, which is none of this step's", hint="see what runs on the builder"
                )
            self._asked[digest] = self._asked.get(digest, 0) + 1
            if self._asked[digest] > _ASKED_OFTEN:
                raise BadInput(f"it asks for {digest} again and again", hint="see what runs on the builder")
            self._submit(lambda: self._give(of, offer, offset))
        else:
            raise refused_note(note, "a question")

    def _submit(self, answer: Callable[[], None]) -> None:
        if not self._room.acquire(blocking=False):
            raise BadInput(f"it asks more than {_ASKED_AT_ONCE} things at once", hint="see what runs on the builder")

        def answered() -> None:
            try:
                answer()
            except Exception as error:  # a thread's own is seen by nobody, and the builder would wait for ever
                self._own.append(error)
            finally:
                self._room.release()

        self._threads.submit(answered)

    def _find(self, of: int, path: str) -> None:
        try:
            file, size = self._shelf.find(path)
            with file:
                promised = self._shelf.promised(path)
                digest = _sha256_of(file) if promised is None else promised.sha256
        except DistwrightError as error:
            is_absent = isinstance(error, NotFound) and not isinstance(error, Lost)
            if not is_absent:
                self._troubles.append(error)
                self._unserved[path] = error
            says = "absent" if is_absent else "trouble"
            self._link.say(says, of=of, limit=self._shelf.passed_limit)
            return
        self._unserved.pop(path, None)
        self._offered[digest] = _Offer(size, lambda: self._shelf.find(path)[0])
        self._link.say("found", of=of, sha256=str(digest), size=size)

    def _give(self, of: int, offer: _Offer, offset: int) -> None:
        with offer.open() as file:
            file.seek(offset)
            while piece := file.read(PIECE_BYTES):
                self._link.give(of, piece)
        self._link.say("sent", of=of)


def _sha256_of(file: BinaryIO) -> Sha256:
    found = hashlib.sha256()
    while piece := file.read(PIECE_BYTES):
        found.update(piece)
    return Sha256(found.hexdigest())


def _offer_of(digest: Sha256, size: int, open_object: Callable[[Sha256], BinaryIO]) -> _Offer:
    return _Offer(size, lambda: open_object(digest))
