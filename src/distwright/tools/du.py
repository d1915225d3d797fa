"""du(1): what a folder takes of its file system. It walks trees deeper than any path may be long, and follows no symlink."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from distwright.errors import ProgramFailed
from distwright.tools.run import Command, run
from distwright.tools.sandbox import Sandbox

_TIMEOUT_S = 200


@dataclass(frozen=True, slots=True)
class Taken:
    """What is taken of a file system: blocks, a hard link once, holes not; and inodes."""

    size_bytes: int
    inodes: int


def taken(folder: Path, sandbox: Sandbox, is_cancelled: Callable[[], bool] | None = None) -> Taken:
    """Say what a folder takes, whoever owns what is in it; what vanishes meanwhile is not counted.

    Raises ProgramFailed, also if it takes minutes; Interrupted if is_cancelled says so.
    """
    size_bytes, inodes = (
        _counted(folder, sandbox, of_what, is_cancelled) for of_what in ("--block-size=1", "--inodes")
    )
    return Taken(size_bytes, inodes)


def _counted(folder: Path, sandbox: Sandbox, of_what: str, is_cancelled: Callable[[], bool] | None) -> int:
    du = ("du", "--summarize", "--one-file-system", of_what, "--", str(folder))
    ended = run(Command(sandbox.as_all_ids(du), timeout_s=_TIMEOUT_S), is_cancelled=is_cancelled)
    number = ended.stdout.partition(b"\t")[0]
    if ended.cut or not number.isdigit():  # exit 1 is also that a file went while it looked
        raise ProgramFailed(
            f"du does not say what {folder} takes: {ended.cut or ended.stderr[-200:]!r}", hint="look at the disk: df -h"
        )
    return int(number)
