"""The one door to outside programs: what they are given, how they end, and that nothing of them stays."""

import os
import signal
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.worlds.processes import living, wait_until

from distwright.errors import Interrupted, ProgramFailed
from distwright.tools.run import (
    ENVIRONMENT,
    Command,
    become_subreaper,
    end_descendants,
    last_lines,
    run,
    run_checked,
)

pytestmark = pytest.mark.system
LONG_S = 60.0


@pytest.fixture
def mark() -> Iterator[str]:
    """Give a text by which the processes of a test are known; what a failed test leaves is killed."""
    mark = f"mark-{uuid.uuid4()}"
    yield mark
    for pid in living(mark):
        os.kill(pid, signal.SIGKILL)


def shell(script: str, *arguments: str, timeout_s: float = LONG_S, **more: object) -> Command:
    return Command(("sh", "-c", script, *arguments), timeout_s=timeout_s, **more)  # type: ignore[arg-type]


# What a program is given


def test_outputs_and_exit_code_come_back() -> None:
    ended = run(shell("printf out; printf err >&2; exit 7"))
    assert (ended.exit_code, ended.stdout, ended.stderr, ended.cut, ended.saw) == (7, b"out", b"err", "", False)


def test_environment_is_only_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    ended = run(Command(("env", "-0"), LONG_S, environment={"HOME": "/nonexistent", "TZ": "Asia/Tokyo"}))
    given = dict(line.split("=", 1) for line in ended.stdout.decode().rstrip("\0").split("\0"))
    assert given == {**ENVIRONMENT, "HOME": "/nonexistent", "TZ": "Asia/Tokyo"}


def test_input_is_empty() -> None:
    assert run(Command(("cat",), LONG_S)).stdout == b""


def test_large_input_goes_through_a_program_that_answers_at_once() -> None:
    """Both pipes are full at times: whoever only wrote, or only read, would wait for ever."""
    content = os.urandom(5 << 20)
    assert run(Command(("cat",), LONG_S, stdin=content)).stdout == content


@pytest.mark.parametrize("script", ["exit 3", "exec <&-; printf x; exit 3", "head -c 10 >/dev/null; exit 3"])
def test_program_need_not_read_its_input(script: str) -> None:
    assert run(shell(script, stdin=bytes(5 << 20))).exit_code == 3


def test_program_works_in_its_folder_with_our_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        assert run(shell("pwd; umask", cwd=tmp_path)).stdout == f"{tmp_path}\n0022\n".encode()
    finally:
        os.umask(before)


def test_only_named_file_descriptors_are_inherited() -> None:
    kept, writing = os.pipe()
    other = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(other, True)  # noqa: FBT003
    os.write(writing, b"secret")
    os.close(writing)
    script = "import os, sys; print(os.read(int(sys.argv[1]), 9).decode(), *os.listdir('/proc/self/fd'))"
    ended = run(Command((sys.executable, "-IS", "-c", script, str(kept)), LONG_S, keep_fds=(kept,)))
    os.close(kept)
    os.close(other)
    secret, *inherited = ended.checked().stdout.decode().split()
    assert (secret, str(kept) in inherited, str(other) in inherited) == ("secret", True, False)


def test_program_has_a_session_of_its_own() -> None:
    own = run(shell('cut -d" " -f5,6 /proc/$$/stat; echo $$')).stdout.split()
    assert own[0] == own[1] == own[2]
    assert own[1] != str(os.getsid(0)).encode()


# How it ends


def test_program_that_is_missing_is_named() -> None:
    with pytest.raises(ProgramFailed, match=r"^'no-such-program' cannot be started: No such file or directory$"):
        run(Command(("no-such-program",), LONG_S))


def test_folder_that_is_missing_is_named_and_not_the_program(tmp_path: Path) -> None:
    with pytest.raises(ProgramFailed, match=r"^'true' cannot be started in .*/missing'?: No such file or directory$"):
        run(Command(("true",), LONG_S, cwd=tmp_path / "missing"))


@pytest.mark.parametrize("argv", [("true", "a\0b"), ("/",), ("",), ("true", "x" * (1 << 18))])
def test_program_that_cannot_be_started_is_named(argv: tuple[str, ...]) -> None:
    with pytest.raises(ProgramFailed, match="cannot be started"):
        run(Command(argv, LONG_S))


def test_log_that_cannot_be_written_starts_nothing(tmp_path: Path, mark: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        run(shell("sleep 1000", mark, log=tmp_path / "file" / "log"))
    _all_gone(mark)


def test_checked_gives_the_last_lines_and_what_to_type() -> None:
    with pytest.raises(ProgramFailed) as caught:
        run(shell("printf 'one\\ntwo\\nthree\\nfour\\n' >&2; exit 4", "it's")).checked()
    assert caught.value.message == "sh failed (exit 4): 'two' | 'three' | 'four'"
    assert caught.value.hint.startswith("try by hand: sh -c 'printf ")
    assert caught.value.hint.endswith("""'it'"'"'s'""")
    assert run_checked(("printf", "x")) == b"x"
    with pytest.raises(ProgramFailed, match=r"^false failed \(exit 1\)$"):
        run_checked(("false",))


def test_program_that_a_signal_ended_says_which() -> None:
    assert run(shell("kill -SEGV $$")).exit_code == -signal.SIGSEGV


def test_last_lines_need_not_be_text() -> None:
    assert last_lines(b"a\n\xff\nb\n\n", 2) == ["�", "b"]


@pytest.mark.parametrize("script", ["sleep 1000", "exec >&- 2>&-; sleep 1000", "yes"])
def test_time_limit_ends_the_program(script: str, mark: str) -> None:
    ended = run(shell(script, mark, timeout_s=0.3, output_limit_bytes=1 << 40))
    assert (ended.cut, ended.exit_code) == ("time limit of 0 s", -signal.SIGTERM)
    _all_gone(mark)


def test_time_limit_ends_grandchildren_that_ignore_term(tmp_path: Path, mark: str) -> None:
    """The leader goes politely, the others must not get away."""
    script = '(trap "" TERM; sh -c "sleep 1000; :" "$0") & (trap "" TERM; exec sh -c "sleep 1000; :" "$0") & wait'
    ended = run(shell(script, mark, timeout_s=0.3))
    assert (ended.exit_code) == (-signal.SIGTERM)
    _all_gone(mark)


def test_program_that_ignores_term_is_killed_after_its_grace(mark: str) -> None:
    ended = run(shell('trap "" TERM; while :; do sleep 0.05; done', mark, timeout_s=0.3, grace_s=0.2))
    assert (ended.cut, ended.exit_code) == ("time limit of 0 s", -signal.SIGKILL)
    _all_gone(mark)


def test_program_may_use_its_grace_to_clean_up(tmp_path: Path) -> None:
    script = f"trap 'rm {tmp_path}/lock; exit 0' TERM; touch {tmp_path}/lock; while :; do sleep 0.01; done"
    ended = run(shell(script, timeout_s=0.3))
    assert (ended.exit_code, list(tmp_path.iterdir())) == (0, [])


def test_output_limit_ends_the_program_and_keeps_no_more(tmp_path: Path, mark: str) -> None:
    ended = run(shell("yes", mark, output_limit_bytes=100_000))
    assert (ended.cut, len(ended.stdout)) == ("output limit of 100000 bytes", 100_000)
    _all_gone(mark)
    ended = run(shell("yes", mark, output_limit_bytes=100_000, log=tmp_path / "log"))
    assert (ended.cut, (tmp_path / "log").stat().st_size) == ("output limit of 100000 bytes", 100_000)


def test_output_of_exactly_the_limit_is_fine() -> None:
    assert run(shell("head -c 100000 /dev/zero", output_limit_bytes=100_000)).checked().stdout == bytes(100_000)


def test_both_outputs_go_to_the_log_in_order_and_only_the_end_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "1.log"
    log.parent.mkdir()
    log.write_bytes(b"before\n")
    ended = run(shell("echo one; echo two >&2; head -c 100000 /dev/zero; echo three", log=log))
    assert log.read_bytes() == b"before\none\ntwo\n" + bytes(100_000) + b"three\n"
    assert (ended.stdout[-7:], len(ended.stdout) <= 1 << 14, ended.stderr) == (b"\0three\n", True, b"")


def test_log_can_be_read_while_the_program_runs(tmp_path: Path) -> None:
    """The program waits until its own line is in the log."""
    log = tmp_path / "log"
    assert run(shell(f"echo line; until grep -q line {log}; do sleep 0.01; done", log=log)).checked()


# Until and never


def test_text_that_was_waited_for_ends_the_program_with_success(mark: str) -> None:
    ended = run(shell("printf 'log'; sleep 0.2; printf 'in: '; sleep 1000", mark, until=b"login:"))
    assert (ended.saw, ended.cut, ended.stdout[:6]) == (True, "", b"login:")
    _all_gone(mark)


def test_text_that_was_waited_for_may_come_at_the_very_end_or_never() -> None:
    assert run(shell("printf login:", until=b"login:")).saw is True
    ended = run(shell("printf logout; exit 3", until=b"login:"))
    assert (ended.saw, ended.exit_code, ended.cut) == (False, 3, "")


def test_text_that_must_never_come_ends_the_program(mark: str) -> None:
    ended = run(shell("echo 'Kernel panic - not syncing'; sleep 1000", mark, until=b"login:", never=b"Kernel panic"))
    assert (ended.saw, ended.cut) == (False, "'Kernel panic' in its output")
    _all_gone(mark)


def test_text_that_must_never_come_counts_even_if_the_program_ends_well() -> None:
    assert run(shell("printf 'Kernel panic'; exit 0", never=b"Kernel panic")).cut == "'Kernel panic' in its output"


@pytest.mark.parametrize(
    ("output", "saw", "cut"),
    [("login: Kernel panic", True, ""), ("Kernel panic login:", False, "'Kernel panic' in its output")],
)
def test_whichever_text_comes_first_decides_though_both_are_read_at_once(output: str, saw: bool, cut: str) -> None:  # noqa: FBT001
    ended = run(shell(f"printf '{output}'", until=b"login:", never=b"Kernel panic"))
    assert (ended.saw, ended.cut) == (saw, cut)


def test_texts_are_found_over_the_edges_of_pieces_and_of_what_is_kept(tmp_path: Path) -> None:
    script = "head -c 16380 /dev/zero; sleep 0.1; printf lo; sleep 0.1; head -c 0 /dev/zero; printf gin:; sleep 1000"
    assert run(shell(script, until=b"login:", log=tmp_path / "log")).saw is True


# Cancelling


@pytest.mark.parametrize(
    "script", ["echo ready; sleep 1000", "echo ready; exec >&- 2>&-; sleep 1000", "echo ready; exec yes"]
)
def test_cancel_ends_the_program_whatever_it_does(script: str, tmp_path: Path, mark: str) -> None:
    log = tmp_path / "log"

    def is_cancelled() -> bool:
        if not log.exists():
            return False
        with log.open("rb") as file:
            return file.read(5) == b"ready"

    with pytest.raises(Interrupted, match=r"^sh was cancelled$"):
        run(shell(script, mark, log=log, output_limit_bytes=1 << 40), is_cancelled=is_cancelled)
    _all_gone(mark)


def test_error_in_the_caller_ends_the_program_too(mark: str) -> None:
    def fail() -> bool:
        raise KeyError("x")

    with pytest.raises(KeyError):
        run(shell("sleep 1000; :", mark), is_cancelled=fail)
    _all_gone(mark)


# What stays behind


def test_background_job_does_not_outlive_its_program(mark: str) -> None:
    ended = run(shell('sh -c "sleep 1000; :" "$0" >/dev/null 2>&1 & exit 5', mark))
    assert (ended.exit_code, ended.cut) == (5, "")
    _all_gone(mark)


def test_background_job_that_keeps_the_output_open_does_not_keep_the_program_alive(mark: str) -> None:
    """A daemon started by a maintainer script: the program has ended, and all it said before is there."""
    ended = run(shell('sh -c "sleep 1000; :" "$0" & head -c 200000 /dev/zero; exit 5', mark))
    assert (ended.exit_code, ended.cut, len(ended.stdout)) == (5, "", 200_000)
    _all_gone(mark)


def test_daemon_in_a_session_of_its_own_is_ended_by_the_subreaper(mark: str) -> None:
    """It left the group and has no parent any more; only who adopts orphans can still find it."""

    def start_daemons() -> None:
        become_subreaper()
        script = 'setsid sh -c "trap : TERM; while :; do sleep 0.05; done" "$0" >/dev/null 2>&1 & wait $!'
        for _ in range(3):
            run(shell(f"{{ {script}; }} & sleep 0.1", mark, output_limit_bytes=1))
        assert living(mark)
        end_descendants()
        assert not living(mark)

    _in_a_child(start_daemons)
    _all_gone(mark)


def test_process_that_another_thread_started_is_ended_too(mark: str) -> None:
    """Linux lists children by the thread that forked them."""

    def start_in_a_thread() -> None:
        become_subreaper()
        started, done = threading.Event(), threading.Event()

        def start() -> None:
            if os.fork() == 0:
                os.execvp("sh", ["sh", "-c", "sleep 1000; :", mark])  # noqa: S606
            started.set()
            done.wait()

        threading.Thread(target=start, daemon=True).start()
        started.wait()
        wait_until(lambda: living(mark), "the process began")
        end_descendants()
        assert not living(mark)
        done.set()

    _in_a_child(start_in_a_thread)
    _all_gone(mark)


def _all_gone(mark: str) -> None:
    """The kernel buries what was killed in its own time."""
    wait_until(lambda: not living(mark), f"the end of {living(mark)}")


def _in_a_child(action: Callable[[], None]) -> None:
    """Run an action in a process of its own; what it asserts must hold."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
