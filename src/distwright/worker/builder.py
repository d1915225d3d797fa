"""The builder's side: carries out one step for a server that it has no other way to, and no secret of.

It has what it was sent, in a cache; a work folder, which goes with the step; and one conversation, with whose end everything ends.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from distwright import __version__
from distwright.errors import (
    BadInput,
    Busy,
    DistwrightError,
    Interrupted,
    NotFound,
    ProgramFailed,
    Refused,
    Unreachable,
    quoted,
)
from distwright.formats.frames import PIECE_BYTES, Note, Piece
from distwright.jobs.limits import Limits
from distwright.jobs.step import Fetched, Plan, ShelfEntry, StepEnd, Verdict
from distwright.model import plain
from distwright.model.digests import Sha256, digests_in
from distwright.model.outcomes import Outcome
from distwright.store.home_objects import HomeObjects
from distwright.store.locks import locked
from distwright.store.paths import StatePaths
from distwright.tools.dpkg import installed_versions
from distwright.tools.link import Link, refused_note
from distwright.tools.run import become_subreaper, end_descendants
from distwright.tools.sandbox import Sandbox
from distwright.worker.context import limits_here
from distwright.worker.runner import LocalRunner, look_for_architecture, look_for_programs

CACHE_LIMIT_BYTES = 64 << 30
_LOG, _FENCE = 0, 0
_QUEUE_PIECES, _POLL_S, _TAIL_S = 64, 0.5, 0.2
_SLOT_PATIENCE_S = 3.0
_HINT = "run the job again"
JOB_LOG = "distwright job log JOB"  # the hint of what is wrong with outputs (worker/workfolder.py)


def make_folders(paths: StatePaths) -> None:
    """Make the folders of a builder: those of a state that sandboxed programs and their files need, and no database."""
    paths.root.mkdir(parents=True, exist_ok=True, mode=0o711)
    for folder in (paths.objects, paths.work, paths.roots, paths.logs):
        folder.mkdir(parents=True, exist_ok=True)


def carry_out(link: Link, note: Note, paths: StatePaths, sandbox: Sandbox) -> None:
    """Carry out the step of a note, and give the server what came of it. Nothing of it stays but the cache.

    Raises Unreachable when the server is gone; then every program of the step has ended.
    """
    become_subreaper()
    questions = _Questions(link)
    objects = HomeObjects(paths.objects, questions)
    try:
        with contextlib.ExitStack() as stack:
            try:
                slot = _slot(stack, paths, plain.number(note.values, "slots"))
                plan = _fitting(note)
            except (Busy, Refused, BadInput, ProgramFailed) as error:
                link.say("refused", why=error.message, busy=isinstance(error, Busy))
                return
            _tidy(paths, sandbox, objects, slot)
            link.say("begun")
            _Bench(
                link, plan, questions, _Context(paths, objects, sandbox, slot, questions, limits_here(paths.root))
            ).work()
    finally:
        end_descendants()


def _fitting(note: Note) -> Plan:
    """Read the plan, if this machine is one for it. Raises Refused, ProgramFailed, BadInput."""
    theirs = plain.text(note.values, "version")
    if theirs != __version__:
        raise Refused(
            f"the builder has distwright {__version__}, the server {quoted(theirs, 40)}",
            hint="install the same version on both machines",
        )
    plan = Plan.from_json(note.values["plan"])
    look_for_architecture(plan)
    look_for_programs(plan)
    wanted, found = plain.text_map(note.values, "programs"), installed_versions(plan.programs)
    for package in sorted({*wanted, *found}):
        if wanted.get(package) != found.get(package):
            raise Refused(
                f"{package} is {found.get(package, 'not')} installed on the builder, and on the server "
                f"{wanted.get(package, 'not')}",
                hint=f"install the same version of {package} on both machines",
            )
    return plan


def _slot(stack: contextlib.ExitStack, paths: StatePaths, slots: int) -> int:
    """Take a free slot until the block ends. Raises Busy."""
    for patience_s in (0.0, _SLOT_PATIENCE_S / max(1, slots)):
        for number in range(1, slots + 1):
            with contextlib.suppress(Busy):
                stack.enter_context(locked(_place_of(paths, number), patience_s=patience_s))
                return number
    raise Busy(f"all {slots} slots of the builder are taken", hint="try again later")


def _place_of(paths: StatePaths, slot: int) -> Path:
    return paths.lock(f"slot-{slot}")


def _tidy(paths: StatePaths, sandbox: Sandbox, objects: HomeObjects, own: int) -> None:
    """Remove what steps left whose process was killed, and what the cache has too much of, unless somebody else works here."""
    with contextlib.ExitStack() as stack, contextlib.suppress(Busy):
        for place in sorted(paths.lock("slot-1").parent.glob("slot-*")):
            if place != _place_of(paths, own):
                stack.enter_context(locked(place, patience_s=0))
        for folder in (*paths.work.iterdir(), *paths.roots.glob("new-*")):
            sandbox.remove(folder)
        objects.drop_leftovers()
        objects.trim(CACHE_LIMIT_BYTES)
        for root in paths.roots.iterdir():
            if any(not objects.path(digest).exists() for _, digest in digests_in(root.name)):
                sandbox.remove(root)


class _Questions:
    """What is asked of the server while programs run, and what it wants in between: heard in a thread of its own.

    orders: what it wants. is_gone: whether the conversation is over; whoever waits for an answer gets Unreachable then.
    """

    def __init__(self, link: Link) -> None:
        """Ask over this link; nothing is heard before `listening`."""
        self._link = link
        self._answers: dict[int, queue.Queue[Note | Piece]] = {}
        self._lock = threading.Lock()
        self._numbers = 0
        self._gone = threading.Event()
        self.orders: queue.Queue[Note] = queue.Queue()

    @property
    def is_gone(self) -> bool:
        """Whether nobody is there any more."""
        return self._gone.is_set()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Hear what comes until the block ends."""
        is_over = threading.Event()
        thread = threading.Thread(target=self._listen, args=(is_over,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def find(self, path: str) -> Note:
        """Ask for a file of the step's archives; give the answer."""
        with self._asking(lambda of: self._link.say("find", of=of, path=path)) as answers:
            answer = self._next(answers)
        if not isinstance(answer, Note):
            raise refused_note(answer, "an answer")
        return answer

    def pieces(self, digest: Sha256, offset: int) -> Iterator[bytes]:
        """Ask for the bytes of an object, from an offset on."""
        with self._asking(lambda of: self._link.say("want", of=of, sha256=str(digest), offset=offset)) as answers:
            while isinstance(answer := self._next(answers), Piece):
                yield answer.content
        if answer.says != "sent":
            raise refused_note(answer, "sent")

    def has(self, _digest: Sha256) -> bool:
        """Say no: what is not in the cache is asked for when it is needed."""
        return False

    touch = has

    def send(self, digest: Sha256, path: Path) -> None:
        """Send nothing: the server takes what it wants."""

    @contextlib.contextmanager
    def _asking(self, ask: Callable[[int], None]) -> Iterator["queue.Queue[Note | Piece]"]:
        answers: queue.Queue[Note | Piece] = queue.Queue(_QUEUE_PIECES)
        with self._lock:
            self._numbers += 1
            of = self._numbers
            self._answers[of] = answers
        try:
            ask(of)
            yield answers
        finally:
            with self._lock:
                del self._answers[of]

    def _next(self, answers: "queue.Queue[Note | Piece]") -> Note | Piece:
        while True:
            with contextlib.suppress(queue.Empty):
                return answers.get(timeout=_POLL_S)
            if self.is_gone:
                raise Unreachable("the server is gone", hint=_HINT)

    def _listen(self, is_over: threading.Event) -> None:
        try:
            while not is_over.is_set():
                frame = self._link.hear(_POLL_S)
                if isinstance(frame, Note) and frame.says in ("give", "bye"):
                    self.orders.put(frame)
                elif frame is not None:
                    self._pass_on(frame)
        except DistwrightError:
            return
        finally:
            self._gone.set()

    def _pass_on(self, frame: Note | Piece) -> None:
        """Give a frame to who asked; nobody waits for it if that one has given up."""
        of = frame.of if isinstance(frame, Piece) else plain.number(frame.values, "of")
        while (answers := self._answers.get(of)) is not None:
            with contextlib.suppress(queue.Full):
                answers.put(frame, timeout=_POLL_S)
                return


class _FarShelf:
    """Archives of the server, by path; the bytes come once, and from the cache after that."""

    def __init__(self, questions: _Questions, objects: HomeObjects) -> None:
        """Ask there."""
        self._questions, self._objects = questions, objects
        self.passed_limit = False

    @property
    def fetched(self) -> tuple[Fetched, ...]:
        """Nothing: the server knows what it gave."""
        return ()

    def find(self, path: str) -> tuple[BinaryIO, int]:
        """Open a file; raise NotFound, Unreachable."""
        answer = self._questions.find(path)
        if answer.says == "absent":
            raise NotFound(f"{quoted(path)} is not on the shelf", hint="distwright snapshot list")
        if answer.says != "found":
            self.passed_limit = self.passed_limit or plain.flag(answer.values, "limit")
            raise Unreachable(f"the server cannot give {quoted(path)}", hint="distwright job log JOB")
        return self._objects.open(plain.digest(answer.values, "sha256")), plain.number(answer.values, "size")


@dataclass(slots=True)
class _Context:
    """The StepContext of a builder."""

    paths: StatePaths
    objects: HomeObjects
    sandbox: Sandbox
    job: int
    questions: _Questions
    limits: Limits
    fence: int = _FENCE

    @property
    def log_path(self) -> Path:
        """Where programs print to; it is sent while it grows."""
        return self.paths.job_log(self.job, self.fence)

    @property
    def is_cancelled(self) -> Callable[[], bool]:
        """Say whether the server is gone."""
        return lambda: self.questions.is_gone

    def log(self, line: str) -> None:
        """Add a line to the log."""
        with self.log_path.open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now(UTC):%H:%M:%S} {line}\n")

    def shelf(self, _entries: Sequence[ShelfEntry], _limit_bytes: int) -> _FarShelf:
        """Give the server's."""
        return _FarShelf(self.questions, self.objects)


@dataclass(slots=True)
class _Bench:
    """One step that is carried out here."""

    link: Link
    plan: Plan
    questions: _Questions
    context: _Context
    _is_quiet: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        """Carry it out, say how it ended, and give what is asked for."""
        log = self.context.log_path
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        with self.questions.listening():
            try:
                with self._log_sent(log):
                    end, verdict = LocalRunner(self.context).run("step", self.plan, _content)
            except Interrupted:
                return
            except DistwrightError as error:
                self.link.say("broken", why=error.message)
                return
            finally:
                log.unlink(missing_ok=True)
            self._say_ended(end, "" if verdict.outcome is Outcome.OK else verdict.message)
            self._give_all(end)

    def _say_ended(self, end: StepEnd, problem: str) -> None:
        self.link.say(
            "ended",
            ends=[{"exit": one.exit_code, "cut": one.cut, "tail": list(one.tail)} for one in end.ends],
            outputs={name: self.context.objects.size(digest) for name, digest in end.outputs.items()},
            problem=problem.removesuffix(f" ({JOB_LOG})"),
        )

    def _give_all(self, end: StepEnd) -> None:
        """Give what the server asks for, until it has all that it wants, or is gone."""
        while not self.questions.is_gone:
            with contextlib.suppress(queue.Empty):
                order = self.questions.orders.get(timeout=_POLL_S)
                if order.says == "bye":
                    return
                digest, of = end.outputs[plain.text(order.values, "name")], plain.number(order.values, "of")
                with self.context.objects.open(digest) as file:
                    while piece := file.read(PIECE_BYTES):
                        self.link.give(of, piece)
                self.link.say("given", of=of, sha256=str(digest))

    @contextlib.contextmanager
    def _log_sent(self, log: Path) -> Iterator[None]:
        """Send a log while it grows, until the block ends, and then what is left of it."""
        thread = threading.Thread(target=self._send_log, args=(log,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._is_quiet.set()
            thread.join()

    def _send_log(self, log: Path) -> None:
        with contextlib.suppress(Unreachable), log.open("rb") as file:
            is_last = False
            while not is_last:
                is_last = self._is_quiet.is_set()
                while piece := file.read(PIECE_BYTES):
                    self.link.give(_LOG, piece)
                time.sleep(0 if is_last else _TAIL_S)


def _content(_end: StepEnd) -> Verdict:
    """Be content with any end, so that all outputs are kept that there are: the server judges."""
    return Verdict(Outcome.OK, "ok")
