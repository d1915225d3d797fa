"""`project/trace/ARCHIVE` names the newest snapshot, for mirrors and whoever pins one; a date comes first, as Debian has it."""

from distwright.archive.served_root import tree_root
from distwright.jobs.step import Context
from distwright.model.records import Snapshot
from distwright.store.archives import newest_snapshot
from distwright.store.paths import half_made

TRACE = "project/trace"


def trace_text(row: Snapshot) -> str:
    """Give the text of a trace, the same bytes for the same snapshot."""
    return f"{row.taken_at:%a %b %d %H:%M:%S UTC %Y}\nArchive: {row.archive}\nSerial: {row.serial}\n"


def write_trace(context: Context, archive: str) -> None:
    """Let the trace of an archive say what its newest snapshot is; without any, there is none. Call it after the rows."""
    with context.database.read() as tx:
        newest = newest_snapshot(tx, archive)
    place = tree_root(context.config, context.paths, archive) / TRACE / archive
    if newest is None:
        place.unlink(missing_ok=True)
        return
    text = trace_text(newest)
    if place.is_file() and place.read_text(encoding="utf-8") == text:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = half_made(place)
    fresh.write_text(text, encoding="utf-8")
    fresh.rename(place)
