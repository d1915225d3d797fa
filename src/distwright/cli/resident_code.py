"""Say whether the files of the package are still those that a resident server has loaded."""

import os
from pathlib import Path

_PACKAGE = str(Path(__file__).parent.parent)


def seen_code() -> frozenset[tuple[str, int, int, int]]:
    """Say what the file system knows of each file of the package: about 300, 1 ms. What the package depends on is not looked at."""
    return frozenset(
        (entry.path, status.st_ino, status.st_size, status.st_mtime_ns)
        for folder in _folders(_PACKAGE)
        for entry in os.scandir(folder)
        if entry.is_file(follow_symlinks=False) and (status := entry.stat(follow_symlinks=False))
    )


def _folders(top: str) -> list[str]:
    found = [top]
    for folder in found:
        with os.scandir(folder) as entries:
            found += [entry.path for entry in entries if entry.is_dir() and entry.name != "__pycache__"]
    return found
