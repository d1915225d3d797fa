"""Pins that hosted branches and tags have in git: each holds the serial that it names, for as long as it names it.

The holder is `ref REPO REF`. Pushes bring their holds along, in the transaction that records them; `hold_pins` reads everything
once more, for what an older version has recorded, and before anything is dropped.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from distwright.archive.pins import FOLDER, parse_pin, parse_pins, pin_path
from distwright.config.model import Config
from distwright.config.tables_archive import UpstreamArchive
from distwright.errors import BadInput
from distwright.jobs.step import Context
from distwright.model.serials import Serial
from distwright.repos.pushes import Needs, ref_holder
from distwright.repos.settings_in_git import FILE, refuse_unplain
from distwright.repos.settings_in_git import FOLDER as PLAIN_FOLDER
from distwright.store.archives import list_snapshots
from distwright.store.database import Database
from distwright.store.holds import Hold, holds_of_kind, replace_holds, serial_hold
from distwright.store.refs import refs_of
from distwright.tools.git import files_at, refs, small_files_at

PIN_LIMIT_BYTES = 64


def pins_at(repo: Path, commit: str, archives: Collection[str]) -> dict[str, Serial | None]:
    """Read the pins of a commit; raise BadInput with everything that is wrong with them. archives: those that can be pinned."""
    blobs = files_at(repo, commit, f"{FOLDER}/")
    above = {str(place): PLAIN_FOLDER for blob in blobs for place in Path(blob.path).parents[:-1]}
    refuse_unplain(
        repo, commit, {"config": PLAIN_FOLDER, FOLDER: PLAIN_FOLDER, **above, **{blob.path: FILE for blob in blobs}}
    )
    return parse_pins({blob.path: blob.content for blob in blobs}, archives)


def upstream_archives(config: Config) -> list[str]:
    """Name the archives that can be pinned."""
    return sorted(name for name, table in config.archives.items() if isinstance(table, UpstreamArchive))


def latest_archives(config: Config) -> list[str]:
    """Name the archives that a frozen branch follows all the same."""
    tables = config.archives.items()
    return sorted(name for name, table in tables if isinstance(table, UpstreamArchive) and table.stays_latest)


def needs_of_pins(database: Database, config: Config) -> Needs:
    """Give what `take_in_pushes` asks about each commit that a ref comes to."""

    def needs(repo: Path, commits: Sequence[str]) -> Mapping[str, Sequence[Hold]]:
        return _holds_at(repo, commits, archives=_archives(database, config))

    return needs


def hold_pins(context: Context) -> int:
    """Let every branch and tag of the hosted repos hold what it pins, and nothing else; say how many refs were not so.

    One pass: three git processes for each repo, be it still configured or only on disk. A ref that is pushed meanwhile is left to
    who takes that push in.
    """
    archives, changed = _archives(context.database, context.config), 0
    for repo in _repos(context):
        changed += _hold_pins_of(context, repo, context.paths.repo(repo), archives)
    return changed


def _repos(context: Context) -> list[str]:
    """Name every repo that is here, and those that only holds are left of."""
    with context.database.read() as tx:
        holders = [hold.holder.split(" ") for hold in holds_of_kind(tx, "serial")]
    held = {words[1] for words in holders if len(words) == 3 and words[0] == "ref"}
    return sorted({*context.config.repos, *context.paths.repo_names(), *held})


def _hold_pins_of(context: Context, repo: str, path: Path, archives: Sequence[str]) -> int:
    present = refs(path) if path.exists() else {}
    wanted = _holds_at(path, sorted(set(present.values())), archives=archives)
    with context.database.read() as tx:
        known, prefix = refs_of(tx, repo), ref_holder(repo, "")
        held: dict[str, set[tuple[str, str]]] = {}
        for hold in holds_of_kind(tx, "serial"):
            if hold.holder.startswith(prefix):
                held.setdefault(hold.holder.removeprefix(prefix), set()).add((hold.target, hold.reason))
    different = [
        ref
        for ref in sorted({*present, *held})
        if {(hold.target, hold.reason) for hold in wanted.get(present.get(ref, ""), ())} != held.get(ref, set())
    ]
    if not different:
        return 0
    with context.write() as tx:
        latest = refs_of(tx, repo)
        for ref in different:
            if latest.get(ref) == known.get(ref):
                holder = ref_holder(repo, ref)
                replace_holds(tx, holder, wanted.get(present.get(ref, ""), ()), context.now())
    return len(different)


def _holds_at(path: Path, commits: Sequence[str], *, archives: Sequence[str]) -> Mapping[str, Sequence[Hold]]:
    """Say which serials commits pin; what cannot be read pins nothing, and is refused where it is used."""
    asked = [(commit, pin_path(name)) for commit in commits for name in archives]
    found = small_files_at(path, asked, limit_bytes=PIN_LIMIT_BYTES)
    holds: dict[str, list[Hold]] = {}
    for commit in commits:
        for name in archives:
            file = pin_path(name)
            serial = _readable(found.get((commit, file)), file)
            if serial is not None:
                holds.setdefault(commit, []).append(serial_hold("", name, serial, f"pinned in {file}"))
    return holds


def _readable(content: bytes | None, path: str) -> Serial | None:
    try:
        return None if content is None else parse_pin(content, path)
    except BadInput:
        return None


def _archives(database: Database, config: Config) -> list[str]:
    """Name what may be pinned: what is configured, and what has snapshots from an earlier configuration."""
    with database.read() as tx:
        return sorted({*upstream_archives(config), *(row.archive for row in list_snapshots(tx))})
