"""What can happen with a builder: it is cut off, killed, or somebody else's. Nothing is lost, nobody stays, nothing is believed."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
from tests.worlds.builders import NAME, SPEAKS, Yard, lone_yard
from tests.worlds.killing import killed_before_each_change
from tests.worlds.processes import living, wait_until
from tests.worlds.state import count_order, placed
from tests.worlds.times import NOW
from tests.worlds.work import ended, kind_of, shell, step

from distwright.formats.enrolment import EnrolmentLine
from distwright.jobs.lease import Ending
from distwright.jobs.limits import Limits
from distwright.jobs.order import cancel, get_job
from distwright.jobs.step import JobKind
from distwright.model.digests import sha256_of
from distwright.model.outcomes import JobState, Outcome
from distwright.site.building import join
from distwright.store.jobs import attempts_of
from distwright.store.paths import StatePaths
from distwright.store.schema import jobs
from distwright.store.times import to_text
from distwright.worker.context import JobContext
from distwright.worker.execute import execute
from distwright.worker.watchdog import tree_of

pytestmark = pytest.mark.system
MARK = "86403.25"  # seconds that the programs of these tests would sleep; nobody else does


@pytest.fixture
def mason() -> Iterator[Yard]:
    with lone_yard() as made:
        yield made


# Whatever ends on the way: the attempt is BROKEN, names the builder, and no program goes on there


@dataclass
class Run:
    """A step that sleeps on the builder, in a thread of this process."""

    context: JobContext
    endings: list[Ending] = field(default_factory=list)
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        """Begin."""
        self.thread = threading.Thread(target=lambda: self.endings.append(execute(SLEEPS, {}, self.context)))
        self.thread.start()

    def ended(self) -> Ending:
        """Wait for its end."""
        self.thread.join(120)
        assert self.endings, "the step never ended"
        return self.endings[0]


SLEEPS = kind_of(step(f"echo it has begun; sleep {MARK} & sleep {MARK}"))


@contextmanager
def sleeping(mason: Yard) -> Iterator[Run]:
    run = Run(mason.context())
    wait_until(lambda: len(living(f"sleep\0{MARK}")) == 2, "both programs to run there")
    yield run
    run.thread.join()


def processes_of_serve(mason: Yard) -> list[int]:
    return [pid for pid in living("builder\0serve") if str(mason.state.root) in cmdline(pid)]


def cmdline(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def kill_all(pids: list[int], number: int = signal.SIGKILL) -> None:
    assert pids
    for pid in pids:
        os.kill(pid, number)


def kill_serve(mason: Yard) -> None:
    kill_all(processes_of_serve(mason))


def kill_ssh(mason: Yard) -> None:
    kill_all([pid for pid in living(f"HostKeyAlias={NAME}") if cmdline(pid).startswith("ssh\0")])


def kill_sshd(mason: Yard) -> None:
    """Kill what listens, and what has the connection (two processes with privileges apart)."""
    assert mason.sshd is not None
    tree, _ = tree_of(mason.sshd.pid)
    kill_all([pid for pid in tree if cmdline(pid).startswith(("sshd:", "/usr/sbin/sshd"))])


@pytest.mark.parametrize("kill", [kill_serve, kill_ssh, kill_sshd])
def test_whatever_is_killed_the_attempt_is_broken_and_its_programs_end(
    mason: Yard, kill: Callable[[Yard], None]
) -> None:  # fmt: skip
    with sleeping(mason) as run:
        kill(mason)
        ending = run.ended()
    assert ending.outcome is Outcome.BROKEN
    assert ending.message.startswith(f"count: builder {NAME}: the connection ended"), ending
    wait_until(lambda: not living(f"sleep\0{MARK}"), "its programs to end")
    wait_until(lambda: not processes_of_serve(mason), "what serves to end")
    assert list(mason.shop.paths.work.iterdir()) == []


def test_work_folder_of_a_killed_step_goes_with_the_next_one(mason: Yard) -> None:
    with sleeping(mason) as run:
        kill_serve(mason)
        run.ended()
    assert len(list(mason.state.work.iterdir())) == 1
    assert execute(kind_of(step("true")), {}, mason.context(2)).outcome is Outcome.OK
    assert f"builder {NAME} has begun" in mason.shop.log(2)
    assert list(mason.state.work.iterdir()) == []


def test_builder_that_is_silent_is_given_up_and_ends_its_programs_when_it_wakes(mason: Yard) -> None:
    mason.silence_s = 15.0  # it says that it is there every five
    with sleeping(mason) as run:
        stopped = processes_of_serve(mason)
        kill_all(stopped, signal.SIGSTOP)
        ending = run.ended()
    assert (ending.outcome, ending.message.partition(" (")[0]) == (
        Outcome.BROKEN, f"count: builder {NAME}: nothing was heard for 15 s"
    )  # fmt: skip
    kill_all(stopped, signal.SIGCONT)
    wait_until(lambda: not living(f"sleep\0{MARK}"), "its programs to end")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another user here than there")
def test_broken_job_is_tried_again_elsewhere(mason: Yard) -> None:
    """The second attempt is the server's own, for there is no other builder."""
    kind = kind_of(step(f"test $(id -un) = distwright || sleep {MARK}", repeat=True))
    job = placed(mason.shop.database, count_order())
    worker = started(mason, kind)
    wait_until(lambda: living(f"sleep\0{MARK}"), "it to run there")
    kill_serve(mason)
    assert ended(worker) == 0
    with mason.shop.database.write() as tx:
        assert (get_job(tx, job.id).state, get_job(tx, job.id).broken_count) == (JobState.QUEUED, 1)
        tx.connection.execute(jobs.update().values(not_before=to_text(NOW)))
    assert ended(started(mason, kind)) == 0
    with mason.shop.database.read() as tx:
        attempts = attempts_of(tx, job.id)
        assert get_job(tx, job.id).outcome is Outcome.OK
    assert [attempt.outcome for attempt in attempts] == [Outcome.BROKEN, Outcome.OK]
    assert f"builder {NAME}: the connection ended" in str(attempts[0].message)
    assert NAME not in mason.shop.log(job.id, 2)


def test_worker_that_is_killed_takes_its_programs_there_along(mason: Yard) -> None:
    job = placed(mason.shop.database, count_order())
    worker = started(mason, SLEEPS)
    wait_until(lambda: len(living(f"sleep\0{MARK}")) == 2, "both programs to run there")
    os.kill(worker, signal.SIGKILL)
    ended(worker)
    wait_until(lambda: not living(f"sleep\0{MARK}"), "its programs to end")
    wait_until(lambda: not processes_of_serve(mason), "what serves to end")
    with mason.shop.database.read() as tx:
        assert get_job(tx, job.id).state is JobState.RUNNING, "until somebody sees that the worker is gone"


def test_cancel_ends_its_programs_there(mason: Yard) -> None:
    job = placed(mason.shop.database, count_order())
    worker = started(mason, SLEEPS)
    wait_until(lambda: len(living(f"sleep\0{MARK}")) == 2, "both programs to run there")
    with mason.shop.database.write() as tx:
        cancel(tx, job.id, mason.shop.database.now())
    assert ended(worker) == 0
    with mason.shop.database.read() as tx:
        assert [attempt.outcome for attempt in attempts_of(tx, job.id)] == [Outcome.CANCELLED]
    wait_until(lambda: not living(f"sleep\0{MARK}"), "its programs to end")
    wait_until(lambda: list(mason.state.work.iterdir()) == [], "its folder to go")


def started(mason: Yard, kind: JobKind) -> int:
    """Fork a worker that runs one job; give its process number."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.setsid()
        status = int(not mason.worker(kind).run_one())
    finally:
        os._exit(status)


# Somebody else answers there

BEGUN = f'{SPEAKS}note(say="begun")\n'
WELL = '{"exit": 0, "cut": "", "tail": []}'
OUT = f'note(say="ended", ends=[{WELL}], outputs={{"out": 3}}, problem="")\norder = hear()\n'
GIVEN = 'note(say="given", of=order["of"], sha256=hashlib.sha256(b"abc").hexdigest())\nhear()\n'
LOCAL = kind_of(step("echo here >out", collect={"out": "out"}, repeat=True))
HERE = {"count/out": sha256_of(b"here\n")}
_jobs = count(1)


@pytest.fixture(scope="module")
def lodge() -> Iterator[Yard]:
    """A builder on which one after another something else answers."""
    with lone_yard() as made:
        yield made


@pytest.fixture
def false(lodge: Yard) -> Yard:
    """The same, with less patience (the machine may be busy), and with nothing held against it."""
    (lodge.shop.paths.root / "run" / "builders" / f"{NAME}.unfit").unlink(missing_ok=True)
    lodge.silence_s, lodge.slack_s = 15.0, 2.0
    return lodge


@pytest.mark.parametrize(
    ("script", "said"),
    [
        pytest.param("print('Welcome to Debian!' * 100)", "is no frame", id="greets"),
        pytest.param("import sys; sys.exit('not today')", "not today", id="ends at once"),
        pytest.param("import time; time.sleep(100)", "nothing was heard for 15 s", id="does not answer"),
        pytest.param(f'{SPEAKS}note(say="refused", why="no" * 100000, busy=False)', "nonono", id="refuses at length"),
        pytest.param(f'{SPEAKS}note(say="refused", why="no", busy=7)', "busy", id="refuses without sense"),
        pytest.param(f'{SPEAKS}note(say="ended")', "'ended' came where begun was wanted", id="has ended already"),
        pytest.param(f"{SPEAKS}piece(0, b'x')", "'a piece' came where begun was wanted", id="prints already"),
    ],
)
def test_what_does_not_begin_leaves_the_step_to_the_server(false: Yard, script: str, said: str) -> None:
    false.answers(script)
    job = next(_jobs)
    ending = execute(LOCAL, {}, false.context(job))
    assert (ending.outcome, ending.outputs) == (Outcome.OK, HERE)
    (line,) = [line for line in false.shop.log(job).splitlines() if f"builder {NAME} does not take" in line]
    assert said in line
    assert len(line) < 600


@pytest.mark.parametrize(
    ("script", "said"),
    [
        pytest.param("send(b'garbage' * 100)", "is no frame", id="garbage"),
        pytest.param("send((1 << 31).to_bytes(4, 'big') + b'J')", "a frame of 2147483648 bytes", id="a frame without end"),
        pytest.param("send(b'\\0\\0\\1\\0Jhalf')", "in the middle of a frame", id="half a frame"),
        pytest.param("send(b'\\0\\0\\0\\3P123')", "a frame of 3 bytes", id="a piece of nothing"),
        pytest.param("t = b'[' * 100000; send(len(t).to_bytes(4, 'big') + b'J' + t)", "is no JSON", id="deep JSON"),
        pytest.param("t = b'[1]'; send(len(t).to_bytes(4, 'big') + b'J' + t)", "says nothing", id="no note"),
        pytest.param('note(say="hello", of=1)', "'hello' came where a question was wanted", id="an unknown note"),
        pytest.param("while True: piece(0, b'x' * 200000)", "prints without end", id="log without end"),
        pytest.param("while True: note(say='still'); time.sleep(0.1)", "takes longer than", id="never ends"),
        pytest.param("time.sleep(100)", "nothing was heard for 15 s", id="silent"),
        pytest.param("piece(7, b'x')", "'a piece' came where a note was wanted", id="bytes of nothing"),
        pytest.param(f'note(say="ended", ends=[{WELL}], outputs={{"../x": 1}}, problem="")', "'../x'", id="a path"),
        pytest.param(
            f'note(say="ended", ends=[{WELL}], outputs={{"out": 3, "out/../../x": 1}}, problem="")', "'out/../../x'",
            id="a path below",
        ),
        pytest.param(f'note(say="ended", ends=[{WELL}], outputs={{}}, problem="")', "does not give 'out'", id="no output"),
        pytest.param(f'note(say="ended", ends=[{WELL}], outputs={{"out": -3}}, problem="")', "'-3'", id="size below zero"),
        pytest.param(f'note(say="ended", ends=[{WELL}], outputs={{"out": 1 << 61}}, problem="")', "are the most", id="much"),
        pytest.param(f'note(say="ended", ends=[{WELL}], outputs={{"out": True}}, problem="")', "whole number", id="no size"),
        pytest.param(f'note(say="ended", ends=[{WELL}] * 2, outputs={{"out": 3}}, problem="")', "more commands", id="more"),
        pytest.param(f'note(say="ended", ends=[{WELL}], outputs={{}}, problem=7)', "'problem'", id="no text"),
        pytest.param('note(say="ended", ends=7, outputs={}, problem="")', "'ends'", id="no list"),
        pytest.param('note(say="ended", ends=[{"exit": "0", "cut": "", "tail": []}], outputs={}, problem="")', "'exit'", id="x"),
        pytest.param('note(say="ended", ends=[{"exit": 0}], outputs={}, problem="")', "'tail'", id="half an end"),
        pytest.param(
            f'note(say="ended", ends=[{WELL}], outputs={{str(n): 0 for n in range(30000)}}, problem="")',
            "30000 outputs", id="many outputs",
        ),
        pytest.param(f"{OUT}piece(order['of'], b'abcd')\nhear()", "'a piece' came where the rest", id="more bytes"),
        pytest.param(f"{OUT}piece(order['of'], b'ab')\n{GIVEN}", "other bytes", id="fewer bytes"),
        pytest.param(f"{OUT}piece(order['of'], b'abd')\n{GIVEN}", "other bytes", id="other bytes"),
        pytest.param(f"{OUT}piece(99, b'abc')\n{GIVEN}", "'a piece' came where the rest", id="bytes of another"),
        pytest.param(f"{OUT}piece(order['of'], b'abc')\nnote(say='given', sha256='../../x')\nhear()", "SHA-256", id="no digest"),
        pytest.param(f"{OUT}sys.exit()", "the connection ended", id="ends before it gives"),
        pytest.param('note(say="broken", why="x" * 100000)', "gave up: 'xxx", id="gives up at length"),
        pytest.param('note(say="broken", why=["x"])', "'why'", id="gives up without words"),
        pytest.param('note(say="want", of=1, sha256=OTHER, offset=0)\nhear()', "none of this step's", id="of another job"),
        pytest.param('note(say="want", of=1, sha256=GIVEN, offset=-1)\nhear()', "none of this step's", id="before it"),
        pytest.param('note(say="want", of=1, sha256=GIVEN, offset=6)\nhear()', "none of this step's", id="behind it"),
        pytest.param(
            'while True: note(say="want", of=1, sha256=GIVEN, offset=0)', "again and again", id="again and again"
        ),
        pytest.param('note(say="want", of=-1, sha256=GIVEN, offset=0)\nhear()', "a number that", id="a number below zero"),
        pytest.param('note(say="want", of=1 << 64, sha256=GIVEN, offset=0)\nhear()', "a number that", id="a number past all"),
        pytest.param('note(say="find", of=1, path="x" * 100000)\nhear()', "a path without end", id="a path without end"),
        pytest.param(
            'while True: note(say="find", of=1, path="/etc/passwd")', "more than 256 things", id="asks and does not hear"
        ),
        pytest.param(
            'note(say="find", of=1, path="debian/../../../etc/passwd")\nnote(say="broken", why=hear()["say"])',
            "gave up: 'absent'", id="a file of the server",
        ),
    ],
)  # fmt: skip
def test_what_a_false_builder_says_breaks_the_attempt_and_nothing_else(false: Yard, script: str, said: str) -> None:
    shop, job = false.shop, next(_jobs)
    other, given = shop.objects.put(b"of another job"), shop.objects.put(b"given")
    before = set(shop.objects.digests())
    false.answers(BEGUN + f"OTHER, GIVEN = {str(other)!r}, {str(given)!r}\n" + script)
    command = shell("echo here >out", timeout_s=30 if "still" not in script else 8, limits=Limits(output_mb=1))
    kind = kind_of(step(command, place={"given": given}, collect={"out": "out"}, repeat=True))
    ending = execute(kind, {}, false.context(job))
    assert ending.outcome is Outcome.BROKEN, shop.log(job)
    assert f"builder {NAME}" in ending.message
    assert said in ending.message
    assert len(ending.message) < 900
    assert set(shop.objects.digests()) == before
    assert not list((shop.paths.objects / "incoming").glob("*"))
    assert execute(kind, {}, false.context(job, 2, tried=1)).outputs == HERE, "the next attempt is made here"


def test_builder_that_takes_nothing_is_given_up(false: Yard) -> None:
    given = false.shop.objects.put(os.urandom(30 << 20))
    false.answers(
        f"{BEGUN}note(say='want', of=1, sha256={str(given)!r}, offset=0)\nwhile True: note(say='still'); time.sleep(1)"
    )
    ending = execute(kind_of(step("cat given", place={"given": given})), {}, false.context(next(_jobs)))
    assert (ending.outcome, "nothing was taken for 15 s" in ending.message) == (Outcome.BROKEN, True), ending


def test_builder_can_lie_about_what_came_out_as_a_build_can_and_no_more(false: Yard) -> None:
    """What it gives is what is kept: under its own digest, as this step's output, and for jobs of this builder only."""
    false.answers(f"{BEGUN}{OUT}piece(order['of'], b'abc')\n{GIVEN}")
    kind = kind_of(step("echo here >out", collect={"out": "out"}))
    ending = execute(kind, {}, false.context(next(_jobs)))
    assert ending == Ending(Outcome.OK, "counted", {"count/out": sha256_of(b"abc")})
    assert execute(kind, {}, false.shop.context(next(_jobs))).outputs == HERE


# Joining


def test_join_that_is_killed_anywhere_is_done_by_the_next_one(tmp_path: Path) -> None:
    """The key is let in last: before that, nobody can come who the builder does not know."""
    line = EnrolmentLine("x" * 43, "ssh-ed25519 " + "A" * 68)
    key = tmp_path / "host.pub"
    key.write_text("ssh-ed25519 " + "B" * 68)

    def make(name: str) -> Path:
        (tmp_path / name).mkdir()
        return tmp_path / name

    def action(world: Path) -> Callable[[], object]:
        return lambda: join(
            StatePaths(world / "state"),
            line.text,
            [key],
            ("distwright", "builder", "serve"),
            world / "ssh" / "keys",
            NOW,
        )

    for _number, world in killed_before_each_change(make, action, more_than=5):
        keys = world / "ssh" / "keys"
        if keys.exists():
            assert (world / "state" / "enrolment.json").exists()
            assert keys.read_text().count("AAAA") == keys.read_text().count("restrict,command=") * 17
        action(world)()
        assert keys.read_text().splitlines() == [
            f'restrict,command="distwright builder serve" {line.server_key} distwright'
        ]
        assert sorted(path.name for path in keys.parent.iterdir() if not path.name.startswith(".new-")) == ["keys"]
