"""Where the rows of an installation are, and how they move to another database."""

from collections.abc import Callable, Mapping

from distwright.errors import NotFound
from distwright.store.moving import move_database
from distwright.store.paths import StatePaths


def move_rows(paths: StatePaths, url: str, tell: Callable[[str], None]) -> tuple[Mapping[str, int], bool]:
    """Move the rows to the PostgreSQL database of `url`; give how many of each table, and whether an earlier call had begun it.

    Raises NotFound if there is no installation, and what store/moving.py raises.
    """
    if not paths.has_database:
        raise NotFound(f"there is no distwright state in {paths.root}", hint="name another with --state DIR")
    moved = move_database(paths, url, lambda table, done, count: tell(f"{table}: {done} of {count} rows"))
    return moved.rows, moved.is_resumed
