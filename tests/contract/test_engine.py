"""What every engine does: hints that a pool has work. Lost or doubled hints cost time, never work; these are not lost."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from distwright.errors import BadInput
from distwright.flow.engines.embedded import EmbeddedEngine
from distwright.flow.engines.engine import Engine

LONG_S = 60.0
"""Longer than any test takes: a hint that was lost shows as a test that hangs, not as one that is sometimes slow."""

OpenEngine = Callable[[], Engine]


@pytest.fixture(params=["embedded"])
def open_engine(request: pytest.FixtureRequest, tmp_path: Path) -> OpenEngine:
    """Give a way to connect to one engine, as often as a test wants: as other processes do."""
    return {"embedded": lambda: EmbeddedEngine(tmp_path / "hints")}[request.param]


def test_wait_without_a_hint_ends_with_no(open_engine: OpenEngine) -> None:
    assert open_engine().wait(("local",), 0) is False
    assert open_engine().wait(("local",), 0.01) is False


def test_hint_before_the_wait_is_not_lost(open_engine: OpenEngine) -> None:
    waiter = open_engine()
    open_engine().hint("local")
    assert waiter.wait(("local",), LONG_S) is True
    assert waiter.wait(("local",), 0) is False, "it was for one wait"


def test_hint_from_before_the_waiter_began_is_not_lost(open_engine: OpenEngine) -> None:
    open_engine().hint("local")
    assert open_engine().wait(("local",), LONG_S) is True


def test_hint_wakes_who_waits(open_engine: OpenEngine) -> None:
    waiter, answers = open_engine(), list[bool]()
    waiting = threading.Thread(target=lambda: answers.append(waiter.wait(("local",), LONG_S)))
    waiting.start()
    open_engine().hint("local")
    waiting.join()
    assert answers == [True]


def test_every_waiter_hears_a_hint(open_engine: OpenEngine) -> None:
    waiters = [open_engine(), open_engine()]
    open_engine().hint("local")
    assert [waiter.wait(("local",), LONG_S) for waiter in waiters] == [True, True]


def test_hint_right_after_a_wait_is_another_one(open_engine: OpenEngine) -> None:
    """However fast it comes."""
    waiter, hinter = open_engine(), open_engine()
    for _ in range(200):
        hinter.hint("local")
        assert waiter.wait(("local",), 0) is True


def test_many_hints_are_one_wake_up(open_engine: OpenEngine) -> None:
    waiter, hinter = open_engine(), open_engine()
    for _ in range(10):
        hinter.hint("local")
    assert [waiter.wait(("local",), 0) for _ in range(2)] == [True, False]


def test_waiter_hears_hints_for_its_pools_only(open_engine: OpenEngine) -> None:
    waiter, hinter = open_engine(), open_engine()
    hinter.hint("big")
    assert waiter.wait(("local", "small"), 0) is False
    hinter.hint("small")
    assert waiter.wait(("local", "small"), LONG_S) is True
    assert waiter.wait(("big",), LONG_S) is True


def test_hint_that_nobody_hears_fails_nothing(open_engine: OpenEngine) -> None:
    open_engine().hint("nobody-listens-here")


def test_what_cannot_name_a_pool_is_refused(open_engine: OpenEngine) -> None:
    with pytest.raises(BadInput, match="cannot name a pool"):
        open_engine().hint("../local")


def test_hint_comes_from_another_process(tmp_path: Path) -> None:
    script = dedent("""\
        import sys
        from pathlib import Path
        from distwright.flow.engines.embedded import EmbeddedEngine
        EmbeddedEngine(Path(sys.argv[1])).hint("local")
    """)
    waiter = EmbeddedEngine(tmp_path / "hints")
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "hints")]) as process:
        assert waiter.wait(("local",), LONG_S) is True
    assert process.returncode == 0


def test_hints_of_many_processes_at_once_wake_the_waiter(tmp_path: Path) -> None:
    waiter = EmbeddedEngine(tmp_path / "hints")
    children = []
    for _ in range(8):
        pid = os.fork()
        if pid == 0:
            EmbeddedEngine(tmp_path / "hints").hint("local")
            os._exit(0)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 8
    assert [waiter.wait(("local",), 0) for _ in range(2)] == [True, False]


def test_engine_whose_files_were_removed_goes_on(tmp_path: Path) -> None:
    """`run/` may be emptied at any time."""
    waiter = EmbeddedEngine(tmp_path / "hints")
    waiter.hint("local")
    assert waiter.wait(("local",), 0) is True
    shutil.rmtree(tmp_path / "hints")
    waiter.hint("local")
    waiter.hint("local")
    assert waiter.wait(("local",), 0) is True
