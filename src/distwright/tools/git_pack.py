"""Packing what many fetches left: few packs instead of thousands of files. Nothing is ever left out or pruned.

Whoever reads meanwhile, or borrows objects (tools/git_merge.py), goes on: every object is in a new pack before an old one goes, and
git looks for the packs anew where one is gone that it knew (git-repack(1), --geometric; gitrepository-layout(5)).
"""

import contextlib
import time
from pathlib import Path

from distwright.tools.git import git

LOOSE_LIMIT, PACK_LIMIT = 2000, 20
TIMEOUT_S = 3600
MEMORY_LIMIT_BYTES = 8 << 30
_LEFTOVER_S = 86400
# One thread, and a window of so many bytes: packing must not take a machine from the jobs that run on it.
_SETTINGS = ("-c", "pack.threads=1", "-c", "pack.windowMemory=256m", "-c", "repack.writeBitmaps=false")


def pack_if_many(repo: Path, *, loose: int = LOOSE_LIMIT, packs: int = PACK_LIMIT) -> list[str]:
    """Pack a bare repository that has more loose objects or packs than that; say in words what was done, nothing if nothing.

    To be called where nobody else packs it. Killed in the middle, all is as before; what it had begun goes a day later. Raises
    ProgramFailed.
    """
    _drop_leftovers(repo)
    rows = [line.partition(": ") for line in git(repo, "count-objects", "-v").decode().splitlines()]
    counts = {name: int(number) for name, _, number in rows if number.isdigit()}
    found = counts.get("count", 0), counts.get("packs", 0)
    if found[0] <= loose and found[1] <= packs:
        return []
    limits = ("prlimit", f"--as={MEMORY_LIMIT_BYTES}", "--core=0", "--")
    git(repo, *_SETTINGS, "repack", "-q", "-d", "-l", "--geometric=2", timeout_s=TIMEOUT_S, before=limits)
    git(repo, "pack-refs", "--all", timeout_s=TIMEOUT_S)
    return [f"packed {found[0]} loose objects and {found[1]} packs"]


def _drop_leftovers(repo: Path) -> None:
    """Remove what a killed one had begun: nobody writes to one file for a day."""
    for place in (repo / "objects" / "pack").glob("*tmp*"):
        with contextlib.suppress(OSError):
            if place.lstat().st_mtime < time.time() - _LEFTOVER_S and place.name.startswith((".tmp-", "tmp_")):
                place.unlink()
