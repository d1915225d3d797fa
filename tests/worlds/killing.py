"""Kill an action at a chosen write: a forked child that ends itself by SIGKILL just before its n-th change to the disk.

Python reports every such change to an audit hook (PEP 578), so nothing of the tested code is replaced. Changes that SQLite makes
itself are not reported; each of its transactions lies between two that are.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from itertools import count
from typing import TypeVar

_CHANGES = frozenset(
    {"os.rename", "os.link", "os.symlink", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.truncate"}
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_DIRECTORY
NEVER = 1 << 30

_World = TypeVar("_World")


def killed_before_each_change(
    make: Callable[[str], _World], action: Callable[[_World], Callable[[], object]], *, more_than: int
) -> Iterator[tuple[int, _World]]:
    """Give, for each change of an action, its number and a world where it was killed before that; at last one where it ended.

    How many there are is not counted beforehand: two worlds may differ by some (the object of a signature falls into a folder that
    is there, or is not). make: a world of that name; action: what is done in it; more_than: fewer changes fail the test.
    """
    for number in count(1):
        world = make(str(number))
        changes = run_killed_at(number, action(world))
        yield number, world
        if changes is not None:
            assert changes > more_than
            return


def run_killed_at(number: int, action: Callable[[], object], *, since: str = "") -> int | None:
    """Run an action in a child that dies before its change number `number` (from 1).

    since: count only from the first change on that has this text in a path. Gives None if the child was killed, else how many
    changes there were. An exception of the action fails the test.
    """
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_the_child(number, action, writing, since)
    os.close(writing)
    with os.fdopen(reading, "rb") as report:
        said = report.read().decode()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, said
        return None
    assert os.WEXITSTATUS(status) == 0, said
    return int(said)


def _be_the_child(number: int, action: Callable[[], object], writing: int, since: str) -> None:
    seen = 0
    is_on = False

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if not is_on:
            return
        if event in _CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING):
            if not seen and not any(since in str(argument) for argument in arguments):
                return
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.addaudithook(watch)
        is_on = True
        action()
        is_on = False
        os.write(writing, str(seen).encode())
        os._exit(0)
    except BaseException:
        is_on = False
        os.write(writing, traceback.format_exc().encode())
        os._exit(1)
