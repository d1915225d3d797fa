"""Partial files whose writer is gone: each bears the number of its process in its name, so nobody needs to guess by its age."""

import shutil
from collections.abc import Iterable
from pathlib import Path


def drop_partials(partials: Iterable[tuple[Path, str]]) -> int:
    """Remove partial files and folders whose process does not live; say how many. partials: path, number of the process."""
    count = 0
    for partial, process in partials:
        if process.isdigit() and not _lives(process):
            if partial.is_dir():
                shutil.rmtree(partial, ignore_errors=True)
            else:
                partial.unlink(missing_ok=True)
            count += 1
    return count


def drop_partials_below(folder: Path, pattern: str) -> int:
    """Remove those of a cache, `NAME.PROCESS` or `NAME.PROCESS-THREAD`; say how many. pattern: of glob, of everything there."""
    found = ((path, path.suffix[1:].partition("-")[0]) for path in folder.glob(pattern) if path.suffix)
    return drop_partials(found)


def _lives(process: str) -> bool:
    """Say whether a process writes still: one that has ended and that nobody has waited for does not (proc_pid_stat(5))."""
    try:
        text = Path("/proc", process, "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] not in ("Z", "X")
