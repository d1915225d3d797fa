"""The sandbox: what a program inside can see and reach, and that it ends when we do."""

import os
import pwd
import signal
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from tests.worlds.cells import HOST_SECRET, IS_ROOT, Cell
from tests.worlds.processes import living, wait_until

from distwright.errors import Interrupted, NotFound
from distwright.net.listen import LoopbackServer
from distwright.store.objects import FileObjects
from distwright.tools.run import Command, run
from distwright.tools.sandbox import SANDBOX_USER, RootFolders, Sandbox, sandbox_for
from distwright.worker.workfolder import fill

pytestmark = pytest.mark.system


@pytest.fixture
def mark() -> Iterator[str]:
    """Give a text by which the processes of a test are known; what a failed test leaves is killed."""
    mark = f"mark-{uuid.uuid4()}"
    yield mark
    for pid in living(mark):
        os.kill(pid, signal.SIGKILL)


# What a rooted program sees


def test_rooted_program_sees_its_root_and_its_work_and_nothing_else(cell: Cell) -> None:
    seen = cell.shell("pwd; ls /; ls -A /work /home /tmp").split()
    assert seen == [
        "/work",
        "bin",
        "dev",
        "etc",
        "home",
        "proc",
        "root",
        "sys",
        "tmp",
        "work",
        "/home:",
        "/tmp:",
        "/work:",
    ]
    for way in ("", "/proc/1/root", "/work/..", "/proc/self/cwd/.."):
        ended = cell.run("cat", f"{way}{cell.home}/{HOST_SECRET}")
        assert (ended.exit_code, ended.stdout) == (1, b""), way


def test_old_root_is_not_to_be_reached_by_root_tricks(cell: Cell) -> None:
    """The way out of a chroot: make another one, and climb from a folder outside it."""
    escape = f"mkdir /tmp/x; chroot /tmp/x /bin/true; cd ..; cd ../../..; ls; cat .{cell.home}/{HOST_SECRET}"
    ended = cell.run("sh", "-c", escape)
    assert (ended.exit_code, b"work\n" in ended.stdout, b"secret" in ended.stdout) == (1, True, False)


def test_rooted_program_is_root_inside_and_nobody_of_importance_outside(cell: Cell) -> None:
    assert cell.shell("id -u; id -g; stat -c '%u:%g %a' /etc/owned /bin/su; touch mine; chown 7:8 mine") == (
        "0\n0\n1000:50 640\n0:0 4755\n"
    )
    mine = (cell.folders.work / "mine").stat()
    assert (mine.st_uid not in (0, 7, os.getuid()), mine.st_gid not in (0, 8, os.getgid())) == (True, True)
    cell.shell("touch other")
    assert (cell.folders.work / "other").stat().st_uid == cell.owner


def test_process_seen_from_outside_has_no_root_identity(cell: Cell, mark: str) -> None:
    log = cell.home / mark
    seen: list[set[int]] = []

    def look() -> bool:
        if not log.exists() or b"ready" not in log.read_bytes():
            return False
        inner = [pid for pid in living(mark) if _command(pid)[0] == "sh"]
        seen.extend({int(uid) for uid in _status(pid, "Uid")} for pid in inner)
        return True

    argv = cell.argv("sh", "-c", "echo ready; while :; do sleep 0.1; done", mark)
    command = Command(argv, 60, cwd=cell.folders.work, log=log, grace_s=0.1)
    with pytest.raises(Interrupted):
        run(command, is_cancelled=look)
    assert seen
    assert all(uids == {cell.owner} for uids in seen)  # sometimes two: the shell is just beginning its sleep


def test_changes_go_to_the_upper_folder_and_the_root_stays_as_it_was(cell: Cell) -> None:
    assert cell.shell("echo new > /etc/new; rm /etc/owned; ls /etc") == "new\n"
    assert sorted(file.name for file in (cell.home / "lower" / "etc").iterdir()) == ["owned"]
    assert (cell.folders.upper / "etc" / "new").read_text() == "new\n"


@pytest.mark.parametrize("name", ["dev", "dev/null", "dev/shm", "dev/fd", "proc", "sys", "sys/block", "work"])
def test_root_whose_folders_lead_out_changes_nothing_of_the_machine(cell: Cell, name: str) -> None:
    """A maintainer script can spoil the root that its own job gives; who enters it next does so with the machine in view."""
    hostile, victim = cell.home / f"hostile-{uuid.uuid4()}", cell.home / f"victim-{uuid.uuid4()}"
    sandbox = sandbox_for(os.geteuid())
    sandbox.unpack(cell.home / "root.tar", hostile)
    if name == "dev/null":
        victim.write_text("kept")
    else:
        victim.mkdir()
        (victim / "kept").touch()
    sandbox.give(victim)
    place = hostile / name
    if place.is_dir():
        place.rmdir()
    place.symlink_to(victim)
    spoilt = replace(cell, folders=replace(cell.folders, lower=hostile))
    ended = spoilt.run("sh", "-c", "echo spoilt > /dev/null; ls /dev")
    assert victim.read_text() == "kept" if victim.is_file() else [file.name for file in victim.iterdir()] == ["kept"]
    assert (ended.exit_code == 0) == ("/" in name), ended.stderr
    if "/" not in name:
        assert f"/{name} of the root is no folder" in ended.stderr.decode() + ended.stdout.decode()
    sandbox.remove(hostile)


def test_work_folder_is_shared_with_us(cell: Cell) -> None:
    (cell.folders.work / "in").write_text("hello")
    assert cell.shell("cat /work/in; echo done > /work/out") == "hello"
    assert (cell.folders.work / "out").read_text() == "done\n"


def test_environment_and_descriptors_are_only_ours(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    environment = dict(line.split("=", 1) for line in cell.shell("env").splitlines())
    kept = {name: environment[name] for name in ("PATH", "LC_ALL", "TZ", "HOME")}
    assert kept == {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC", "HOME": "/nonexistent"}
    assert set(environment) - set(kept) <= {"PWD", "SHLVL", "OLDPWD"}
    assert cell.shell("ls /proc/self/fd").split() == ["0", "1", "2", "3"], "three, and the folder that ls reads"


def test_rooted_program_sees_no_process_of_the_host(cell: Cell) -> None:
    pids = [int(name) for name in cell.shell("ls /proc").split() if name.isdigit()]
    assert (pids[0], len(pids) <= 2) == (1, True)
    ended = cell.run("kill", "-9", str(os.getpid()))
    assert ended.exit_code != 0


def test_rooted_program_has_a_host_name_of_its_own(cell: Cell) -> None:
    before = os.uname().nodename
    assert cell.shell("hostname; hostname evil; hostname") == "distwright\nevil\n"
    assert os.uname().nodename == before


# What a program of the machine sees

# Root of a namespace leaves a chroot so; see chroot(2). mmdebstrap's maintainer scripts are such a root in such a chroot.
LEAVE = r"""
mkdir "j"; chroot "j" or die "chroot: $!"; chdir ".." for 1 .. 50; chroot "." or die "chroot: $!";
for my $place (@ARGV) { print "$place: ", (-e $place ? "there" : "hidden"), "\n" }
opendir(my $root, "/"); print join(" ", sort grep { !/^\./ } readdir $root), "\n";
"""


OWN = {"bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "mnt", "proc", "run", "sbin", "sys", "tmp", "usr", "var"}


@pytest.mark.parametrize("door", ["door", "no door"])
def test_host_program_sees_programs_and_its_work_and_nothing_else(cell: Cell, door: str) -> None:
    with LoopbackServer(lambda _path: (BytesIO(b""), 0)) as shelf:
        script = "pwd; ls /; ls -A /tmp /run /var /var/tmp /mnt"
        seen = cell.run_host_program("sh", "-euc", script, shelf=shelf if door == "door" else None).checked()
    place, *names = seen.stdout.decode().split()
    root, inner = names[: names.index("/mnt:")], names[names.index("/mnt:") :]
    # The way to the work folder of these tests goes through /var/tmp.
    on_the_way = {cell.home.name} if cell.home.is_relative_to("/var/tmp") else set()
    assert (place, set(root) - OWN) == (str(cell.folders.work), set())
    assert set(inner) - on_the_way == {"/mnt:", "/run:", "/tmp:", "/var:", "/var/tmp:", "tmp"}


def test_who_leaves_the_chroot_of_a_host_program_finds_no_files_of_the_machine(cell: Cell) -> None:
    hidden = (f"{cell.home}/{HOST_SECRET}", "/etc/shadow", "/etc/ssh", "/etc/apt", "/run/systemd", "/root", "/home")
    program = (
        "unshare",
        "--map-root-user",
        "--map-auto",
        "--mount",
        "perl",
        "-e",
        LEAVE,
        *hidden,
        str(cell.folders.work),
    )
    with LoopbackServer(lambda _path: (BytesIO(b""), 0)) as shelf:
        seen = cell.run_host_program(*program, shelf=shelf).checked().stdout.decode().splitlines()
    assert seen[:-1] == [*(f"{place}: hidden" for place in hidden), f"{cell.folders.work}: there"]
    assert set(seen[-1].split()) - OWN == set()


def test_host_program_can_change_nothing_but_its_work_and_empty_folders(cell: Cell, mark: str) -> None:
    tried = "for place in / /usr /etc /var /dev /run /mnt /tmp /var/tmp . ; do touch $place/$0 2>/dev/null && echo $place; done"
    seen = cell.run_host_program("sh", "-c", tried, mark).stdout.decode().split()
    # Started by a user, he owns the folders of this small world, which ends with the program.
    own = {"/", "/dev", "/etc", "/mnt", "/run", "/var"} if cell.sandbox.user is None else set()
    assert set(seen) - own == {"/tmp", "/var/tmp", "."}
    assert not any((Path(place) / mark).exists() for place in ("/", "/tmp", "/var/tmp", "/etc", "/run"))
    assert (cell.folders.work / mark).exists()


# What it can reach


GROUPS = """
find / -path /proc -prune -o \\( -name cgroup.procs -o -name memory.max \\) -print
for over in /sys/fs/cgroup /sys/fs /sys; do umount -l $over 2>/dev/null; done
find /sys -name cgroup.procs -print
grep -v ':/$' /proc/self/cgroup; echo looked; true
"""


def test_no_control_group_of_the_machine_is_seen_or_uncovered(cell: Cell) -> None:
    """Who was delegated groups owns them, and is root inside: limits that he can see he can lift."""
    for ended in (cell.run("sh", "-uc", GROUPS), cell.run_host_program("sh", "-uc", GROUPS)):
        assert ended.checked().stdout == b"looked\n"


WRITES = {
    "kernel settings": "echo 1 > /proc/sys/kernel/sysrq",
    "kernel triggers": "echo h > /proc/sysrq-trigger",
    "kernel objects": "echo 0 > /sys/kernel/mm/transparent_hugepage/enabled || echo 0 > /sys/module/kernel/parameters/panic",
    "a disk": "mknod /tmp/sda b 8 0",
    "kernel memory": "mknod /tmp/mem c 1 1",
    "another file system": "mount -t ext4 /dev/sda /tmp",
    "the root below": f"mount -o bind /proc/1/root/var /tmp && ls /tmp/{HOST_SECRET}",
}


@pytest.mark.parametrize("attempt", WRITES.values(), ids=WRITES)
def test_rooted_root_cannot_change_the_machine(cell: Cell, attempt: str) -> None:
    assert cell.run("sh", "-c", attempt).exit_code != 0


def test_devices_are_the_harmless_ones(cell: Cell) -> None:
    names = "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero"
    assert cell.shell("ls /dev").split() == names.split()
    assert cell.shell("echo x > /dev/null; head -c 3 /dev/zero; echo x > /dev/shm/y; cat /dev/shm/y") == "\0\0\0x\n"


def test_no_host_program_but_a_machine_that_is_started_sees_kvm(cell: Cell) -> None:
    """Scripts of packages run below mmdebstrap and sbuild: near the kernel of the machine, where the user's group may open it."""
    look = ("sh", "-c", "test -e /dev/null && ls /dev")
    seen, of_qemu = (
        cell.run_host_program(*look, sees_kvm=sees_kvm).checked().stdout.decode().split() for sees_kvm in (False, True)
    )
    assert "kvm" not in seen
    assert set(of_qemu) - set(seen) == ({"kvm"} if Path("/dev/kvm").exists() else set())


def test_placed_object_cannot_be_changed_from_inside(place: Path) -> None:
    """A plain user's program is root of its own files inside: through a hard link it could make an object into something else."""

    def try_it(sandbox: Sandbox, base: Path) -> None:
        objects = FileObjects(base / "objects")
        digest = objects.put(b"as it was")
        folders = RootFolders(place / "lower", base / "upper", base / "scratch", base / "merged", base / "work")
        for folder in (folders.upper, folders.scratch, folders.merged):
            sandbox.make_folder(folder)
        fill(folders.work, {"input": digest, "deep/input": digest}, {}, objects, sandbox)
        cell = Cell(sandbox, (), folders, base)
        assert cell.shell("cat input deep/input") == "as it was" * 2
        cell.run("sh", "-c", "chmod 666 input deep/input; echo evil >> input; echo evil > deep/input")
        assert objects.is_intact(digest)

    for name, sandbox, user in _starters():
        base = place / f"objects {name}"
        sandbox_for(os.geteuid()).make_folder(base)
        _as_user(user, lambda sandbox=sandbox, base=base: try_it(sandbox, base))  # type: ignore[misc]
        sandbox_for(os.geteuid()).remove(base)


# How it ends


@pytest.mark.parametrize("code", [0, 7])
def test_exit_code_comes_through(cell: Cell, code: int) -> None:
    assert cell.run("sh", "-c", f"exit {code}").exit_code == code


def test_program_that_is_not_in_the_root_is_named(cell: Cell) -> None:
    for program in ("no-such-program", "/bin/no"):
        ended = cell.run(program)
        assert (ended.exit_code, ended.stderr.decode()) == (1, f"sandbox: {program}: No such file or directory\n")


DAEMONS = 'setsid sh -c "trap : TERM HUP; while :; do sleep 0.1; done" "$0" & '
PROGRAMS: Mapping[str, Callable[[Cell, str], tuple[str, ...]]] = {
    "rooted": lambda cell, mark: cell.argv("sh", "-c", f"{DAEMONS} {DAEMONS} sleep 1000", mark),
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_program_and_its_daemons_die_with_the_process_that_started_them(
    cell: Cell, mark: str, program: Callable[[Cell, str], tuple[str, ...]]
) -> None:
    _dies_with_its_parent(Command(program(cell, mark), 60, cwd=cell.folders.work), mark)


@pytest.mark.skipif(not IS_ROOT, reason="a plain user has no pid namespace without a root; see docs/design/0003")
def test_unrooted_program_of_root_is_another_user_and_dies_with_its_daemons_too(place: Path, mark: str) -> None:
    sandbox = Sandbox(SANDBOX_USER)
    script = f"id -un; id -Gn; ls /proc | grep -c '^[0-9]'; test -w {place} || echo kept out"
    ended = run(Command(sandbox.argv(("sh", "-c", script)), 60)).checked()
    name, groups, processes, kept_out = ended.stdout.decode().splitlines()
    assert (name, groups, int(processes) <= 5, kept_out) == (SANDBOX_USER, SANDBOX_USER, True, "kept out")
    _dies_with_its_parent(Command(sandbox.argv(("sh", "-c", f"{DAEMONS} sleep 1000", mark)), 60), mark)


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_time_limit_leaves_nothing_of_a_rooted_program(
    cell: Cell, mark: str, program: Callable[[Cell, str], tuple[str, ...]]
) -> None:
    ended = run(Command(program(cell, mark), 0.5, cwd=cell.folders.work, grace_s=0.1))
    assert ended.cut == "time limit of 0 s"
    wait_until(lambda: not living(mark), "the end of the daemons")


# Unpacking and removing


def test_unpacked_root_has_its_owners_and_modes_but_no_devices(place: Path) -> None:
    lower = place / "lower"
    owned, su = (lower / "etc" / "owned").stat(), (lower / "bin" / "su").stat()
    assert sorted(file.name for file in (lower / "dev").iterdir()) == []
    assert (owned.st_mode & 0o7777, su.st_mode & 0o7777, (lower / "tmp").stat().st_mode & 0o7777) == (
        0o640,
        0o4755,
        0o1777,
    )
    assert len({owned.st_uid, su.st_uid, 0}) == 3
    assert (lower / "bin" / "sh").readlink() == Path("busybox")


def test_everything_that_a_program_leaves_can_be_removed(cell: Cell) -> None:
    cell.shell(
        "mkdir -p a/b; touch a/b/c; chown -R 5:5 a; chmod 000 a; ln -s /etc link; mkdir /root/x; chmod 0 /root/x"
    )
    base = cell.folders.work.parent
    _as_user(None if not cell.prefix else SANDBOX_USER, lambda: Sandbox(cell.sandbox.user).remove(cell.folders.work))
    sandbox_for(os.geteuid()).remove(base)
    assert not base.exists()


def test_removing_follows_no_link_out_of_the_folder(place: Path) -> None:
    kept = place / "kept"
    kept.mkdir()
    (kept / "file").touch()
    folder = place / "links"
    folder.mkdir()
    (folder / "link").symlink_to(kept)
    sandbox_for(os.geteuid()).remove(folder)
    sandbox_for(os.geteuid()).remove(folder)
    assert (folder.exists(), (kept / "file").exists()) == (False, True)


def test_deep_folders_can_be_removed(place: Path) -> None:
    """A program may nest folders deeper than our stack and longer than any path."""
    for name, sandbox, user in _starters():
        folder = place / f"deep {name}"
        sandbox_for(os.geteuid()).make_folder(folder)
        _as_user(user, lambda folder=folder: _nest(folder, 3000))  # type: ignore[misc]
        _as_user(user, lambda folder=folder, sandbox=sandbox: sandbox.remove(folder / "d"))  # type: ignore[misc]
        assert list(folder.iterdir()) == []


def test_sandbox_of_root_is_a_system_user_and_that_of_anybody_else_is_himself() -> None:
    assert sandbox_for(1000) == Sandbox(None)
    try:
        pwd.getpwnam(SANDBOX_USER)
    except KeyError:
        with pytest.raises(NotFound, match=f"system user {SANDBOX_USER} does not exist"):
            sandbox_for(0)
    else:
        assert sandbox_for(0) == Sandbox(SANDBOX_USER)


def _starters() -> list[tuple[str, Sandbox, str | None]]:
    """List who may start sandboxed programs here: a name, the sandbox, the user to become first."""
    if not IS_ROOT:
        return [("user", Sandbox(None), None)]
    return [("root", Sandbox(SANDBOX_USER), None), ("user", Sandbox(None), SANDBOX_USER)]


def _as_user(user: str | None, action: Callable[[], object]) -> None:
    """Run an action in a process of its own, as another user if named; what it asserts must hold."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            if user is not None:
                entry = pwd.getpwnam(user)
                os.setgroups([])
                os.setgid(entry.pw_gid)
                os.setuid(entry.pw_uid)
            action()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _dies_with_its_parent(command: Command, mark: str) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            run(command)
        finally:
            os._exit(1)
    inner = "while :; do sleep"
    wait_until(lambda: [p for p in living(mark) if inner in _command(p)[2]], "daemons of the program")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    wait_until(lambda: not living(mark), f"the end of {[_command(p)[:3] for p in living(mark)]}")


def _nest(folder: Path, depth: int) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=descriptor)
        inner = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)


def _command(pid: int) -> list[str]:
    """Give the words of a process, with three at least."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        words = []
    return [*words, "", "", ""]


def _status(pid: int, field: str) -> list[str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1:] for line in lines if line.startswith(f"{field}:"))
