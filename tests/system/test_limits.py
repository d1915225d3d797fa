"""Programs that want all of the machine: each is ended at its limit, with a name for it, and leaves nothing."""

import os
import pickle
import pwd
import subprocess
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from tests.system.line import state_folder
from tests.worlds.cells import IS_ROOT
from tests.worlds.processes import living
from tests.worlds.rootfs import root_tar
from tests.worlds.work import kind_of, shell, step, workshop

from distwright.jobs.lease import Ending
from distwright.jobs.limits import Limits
from distwright.jobs.step import PlannedCommand
from distwright.model.digests import sha256_of
from distwright.model.outcomes import Outcome
from distwright.tools.sandbox import SANDBOX_USER, Sandbox, sandbox_for
from distwright.worker.execute import execute
from distwright.worker.watchdog import Watchdog, tree_of

pytestmark = pytest.mark.system
STARTERS = ["root", "user"] if IS_ROOT else ["user"]


def perl(script: str, limits: Limits, timeout_s: int = 60) -> PlannedCommand:
    return PlannedCommand(("perl", "-e", script), timeout_s, limits=limits)


def sh(script: str, limits: Limits, timeout_s: int = 60) -> PlannedCommand:
    return shell(script, timeout_s, limits=limits)


def rooted(script: str, limits: Limits) -> PlannedCommand:
    return PlannedCommand(("sh", "-euc", script), 60, root=sha256_of(root_tar()), limits=limits)


@pytest.fixture(params=STARTERS)
def perform(request: pytest.FixtureRequest) -> Iterator[Callable[[PlannedCommand], Ending]]:
    """Give what executes a command as one started by root, and as one started by a plain user, and looks at what is left."""
    with state_folder() as folder:
        owner = sandbox_for(os.geteuid())
        owner.make_folder(folder / "home")
        if request.param == "user":
            user = SANDBOX_USER if IS_ROOT else None
            yield lambda command: performed(lambda: _execute(folder / "home", Sandbox(None), command), user)
        else:
            yield lambda command: performed(lambda: _execute(folder / "state", owner, command), None)


def _execute(folder: Path, sandbox: Sandbox, command: PlannedCommand) -> Ending:
    shop = workshop(folder / "state", sandbox)
    shop.objects.put(root_tar())
    ending = execute(kind_of(step(command, repeat=True)), {}, shop.context())
    assert list(shop.paths.work.iterdir()) == []
    assert str(folder) not in Path("/proc/self/mountinfo").read_text()
    return ending


def performed(action: Callable[[], Ending], user: str | None) -> Ending:
    """Perform it in a process of its own, as `user`."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if user is not None:
                entry = pwd.getpwnam(user)
                os.setgroups([])
                os.setgid(entry.pw_gid)
                os.setuid(entry.pw_uid)
            os.write(writing, pickle.dumps(action()))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        said = file.read()
    os.waitpid(pid, 0)
    ending = pickle.loads(said)  # noqa: S301  # our own
    assert isinstance(ending, Ending)
    return ending


HOG = "my @held; push @held, 'x' x (16 << 20) while 1"
PASSED: Mapping[str, tuple[PlannedCommand, str]] = {
    "memory": (perl(HOG, Limits(memory_mb=200)), "memory limit of 200 MB"),
    "memory of many": (
        perl("for (1..40) { next if fork; my $x = 'x' x (8 << 20); sleep 100; exit } sleep 100", Limits(memory_mb=200)),
        "memory limit of 200 MB",
    ),
    "memory of nobody": (
        sh("head -c 150000000 /dev/zero >/dev/shm/x; sleep 100; true", Limits(memory_mb=100)), "memory limit of 100 MB",
    ),
    "fork bomb": (sh("bomb() { bomb | bomb & }; bomb; sleep 100; true", Limits(processes=300)), "process limit of 300"),
    "threads": (
        PlannedCommand(
            ("python3", "-c", "import threading, time\nwhile 1: threading.Thread(target=time.sleep, args=[99]).start()"),
            60, limits=Limits(processes=100),
        ),
        "process limit of 100",
    ),
    "disk": (sh("cat /dev/zero >big; sleep 100; true", Limits(disk_mb=300)), "disk limit of 300 MB"),
    "disk without a name": (
        perl(
            "open(F, '>', 'x'); unlink 'x'; for (1 .. 300) { print F 'x' x (1 << 20) } sleep 100", Limits(disk_mb=100)
        ),
        "disk limit of 100 MB",
    ),
    "files without content": (
        perl("for (1 .. 6000) { open(F, '>', $_); close F } sleep 100", Limits(disk_mb=20)), "disk limit of 20 MB",
    ),
    "a bomb unpacked": (
        sh("head -c 90000000 /dev/zero | gzip -1 >b; cat b b b b b b b | zcat >x; sleep 9", Limits(disk_mb=200)),
        "disk limit of 200 MB",
    ),
    "disk of a root": (rooted("head -c 300000000 /dev/zero >/tmp/x; sleep 100", Limits(disk_mb=100)), "disk limit of 100 MB"),
    "disk of a root without a name": (
        rooted("exec 3>/tmp/x; rm /tmp/x; head -c 300000000 /dev/zero >&3; sleep 100", Limits(disk_mb=100)),
        "disk limit of 100 MB",
    ),
    "output": (sh("yes; true", Limits(output_mb=3)), "output limit of 3 MB"),
}  # fmt: skip


@pytest.mark.parametrize(("command", "cut"), PASSED.values(), ids=PASSED)
def test_who_passes_a_limit_is_ended_soon_and_the_limit_is_named(
    perform: Callable[[PlannedCommand], Ending], command: PlannedCommand, cut: str
) -> None:
    began = time.monotonic()
    ending = perform(command)
    assert time.monotonic() - began < 30, "the sleep would be longer"
    assert (ending.outcome, ending.message.partition(" ended with ")[2].partition(": ")[0]) == (Outcome.FAILED, cut)


KEPT: Mapping[str, PlannedCommand] = {
    "shared memory": perl(
        "my $x = 'x' x (100 << 20); for (1 .. 8) { next if fork; sleep 2; exit } wait for 1 .. 8", Limits(memory_mb=300)
    ),
    "holes": sh("truncate --size=1T x; cp --sparse=always x y; sleep 1", Limits(disk_mb=50)),
    "all of them": sh(
        "head -c 9000000 /dev/zero >x; cat x x >/dev/null; yes | head -c 900000",
        Limits(memory_mb=200, disk_mb=50, processes=50, output_mb=1),
    ),
}


@pytest.mark.parametrize("command", KEPT.values(), ids=KEPT)
def test_who_keeps_to_the_limits_is_left_alone(
    perform: Callable[[PlannedCommand], Ending], command: PlannedCommand
) -> None:
    assert perform(command) == Ending(Outcome.OK, "counted", {})


DAEMON = 'setsid sh -c "trap : TERM HUP INT; while :; do sleep 0.1; done" "$0" </dev/null >/dev/null 2>&1 & '


@pytest.mark.parametrize("ends", ["well", "at its limit", "at its time"])
def test_daemons_are_gone_with_the_program_that_started_them(
    perform: Callable[[PlannedCommand], Ending], ends: str
) -> None:
    mark = f"mark-{uuid.uuid4()}"
    rest = {"well": "sleep 0.5", "at its limit": "cat /dev/zero >x", "at its time": "sleep 100; true"}[ends]
    argv = ("sh", "-c", f"{DAEMON} (setsid sh -c '{DAEMON}' $0 &) ; {rest}", mark)
    command = PlannedCommand(argv, 2 if ends == "at its time" else 60, limits=Limits(disk_mb=50))
    outcome = {"well": Outcome.OK, "at its limit": Outcome.FAILED, "at its time": Outcome.TIMED_OUT}[ends]
    assert perform(command).outcome is outcome
    assert living(mark) == []


def test_who_kills_everything_it_sees_kills_itself_and_nobody_else(
    perform: Callable[[PlannedCommand], Ending],
) -> None:
    script = "kill -9 $PPID; for pid in /proc/[0-9]*; do kill -9 ${pid#/proc/}; done; kill -9 -1; sleep 1; exit 3"
    ending = perform(PlannedCommand(("sh", "-c", script), 60))
    assert ending.outcome is Outcome.FAILED
    assert "exit" in ending.message


MEMORY = Path("/sys/fs/cgroup/memory")


@pytest.mark.skipif(
    not os.access(MEMORY / "memory.limit_in_bytes", os.W_OK), reason="needs a small machine: cgroup version 1"
)
@pytest.mark.parametrize(
    ("script", "outcome"),
    {
        "itself": (HOG, Outcome.BROKEN),
        "a child": (f"unless (fork) {{ {HOG} }} wait; exit 1", Outcome.BROKEN),
        "a child that nobody misses": (f"unless (fork) {{ {HOG} }} wait; exit 0", Outcome.OK),
        "nobody": ("exit 1", Outcome.FAILED),
    }.values(),
)
def test_who_ends_badly_because_the_machine_has_no_memory_left_is_not_at_fault(script: str, outcome: Outcome) -> None:
    machine = MEMORY / f"small-{uuid.uuid4()}"
    machine.mkdir()
    try:
        (machine / "memory.limit_in_bytes").write_text(str(400 << 20))
        with state_folder() as folder:
            ending = performed(lambda: _execute_within(machine, folder, perl(script, Limits(memory_mb=100_000))), None)
    finally:
        machine.rmdir()
    assert ending.outcome is outcome
    assert ("no memory left" in ending.message) == (outcome is Outcome.BROKEN)


def _execute_within(machine: Path, folder: Path, command: PlannedCommand) -> Ending:
    (machine / "cgroup.procs").write_text("0")
    return _execute(folder / "state", sandbox_for(os.geteuid()), command)


def test_host_is_not_to_be_read(perform: Callable[[PlannedCommand], Ending]) -> None:
    script = """
        cat /etc/shadow /etc/gshadow && exit 11
        ls /home/* /root /srv /var/lib && exit 12
        find / -xdev -name db.sqlite 2>/dev/null | grep -q . && exit 13
        cat /proc/[0-9]*/environ | grep -a MARK= && exit 14
        ls /proc/1/root/var/lib/dpkg && exit 15; true
    """
    user = pwd.getpwnam(SANDBOX_USER).pw_uid if IS_ROOT else None
    with subprocess.Popen(["sleep", "100"], env={"MARK": "secret"}, user=user) as neighbour:
        ending = perform(PlannedCommand(("sh", "-c", script), 60))
        neighbour.kill()
    assert ending == Ending(Outcome.OK, "counted", {})


def test_a_look_costs_less_than_one_per_cent_of_a_core() -> None:
    children = [subprocess.Popen(["sleep", "100"]) for _ in range(20)]
    try:
        watchdog, until = Watchdog(Limits(memory_mb=1 << 20, processes=1000)), time.monotonic() + 3
        before = time.thread_time()
        while time.monotonic() < until:
            assert watchdog.look(os.getpid()) == ""
            time.sleep(0.1)
        assert time.thread_time() - before < 0.05
        assert {child.pid for child in children} <= set(tree_of(os.getpid())[0])
    finally:
        for child in children:
            child.kill()
            child.wait()
