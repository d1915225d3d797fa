"""The applied configuration: planned, applied, kept as an object with the commit it came from."""

import json
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import distwright.archive.configured as archive_part
import distwright.repos.configured as repos_part
from distwright.archive.resolve import checked_keyring, machine_keyring, relative_keyrings
from distwright.config.difference import Change, changed_tables
from distwright.config.embargo import is_private_archive, private_names
from distwright.config.load import parse_config
from distwright.config.model import Config
from distwright.config.tables_archive import OwnArchive
from distwright.errors import BadConfig, NotFound, Refused, quoted
from distwright.model.digests import Json, Sha256, canonical_json
from distwright.model.embargo import ARCHIVE, REPO
from distwright.model.events import Event, EventKind
from distwright.store.database import Database
from distwright.store.embargoes import add_private_names, drop_private_name, list_private_names
from distwright.store.events import append_event
from distwright.store.holds import holds_on_all, replace_holds
from distwright.store.objects import ObjectStore
from distwright.store.paths import StatePaths
from distwright.store.refs import AppliedConfig, applied_config, keep_applied_config
from distwright.tools.git import file_at, files_at, resolve

CONFIG_FILE, CONFIG_FOLDER = "distwright.toml", "distwright.d"


def load_applied(database: Database, objects: ObjectStore) -> tuple[Config, str] | None:
    """Give the configuration in force and its commit; None before the first `config apply`.

    Raises BadConfig if this version of distwright cannot read it: another one has applied it.
    """
    with database.read() as tx:
        row = applied_config(tx)
    if row is None:
        return None
    files = json.loads(objects.read(row.config))["files"]
    try:
        return _parsed(tuple(sorted(files.items()))), row.commit
    except BadConfig as error:
        raise BadConfig(
            f"the applied configuration (commit {row.commit[:12]}) is not what this version of distwright reads:\n"
            f"{error.message}",
            hint="correct it, push it, and: distwright config apply COMMIT --repo REPO",
        ) from error


@lru_cache(maxsize=2)
def _parsed(files: tuple[tuple[str, str], ...]) -> Config:
    """Parse once what a worker reads for each job: the processes that it forks have what it knows."""
    return parse_config(files)


def files_of_commit(paths: StatePaths, repo: str, revision: str) -> tuple[str, dict[str, str]]:
    """Read the configuration files of a commit: `distwright.toml` and `distwright.d/*.toml`; give the commit and name -> text."""
    where = paths.repo(repo)
    if not where.exists():
        raise NotFound(f"repo {repo} is not hosted here", hint="distwright repo list")
    commit = resolve(where, revision)
    blobs = [*files_at(where, commit, CONFIG_FILE), *files_at(where, commit, f"{CONFIG_FOLDER}/")]
    files = {blob.path: blob.content.decode(errors="surrogateescape") for blob in blobs if blob.path.endswith(".toml")}
    if not files:
        raise NotFound(
            f"commit {commit[:12]} of {repo} has no {CONFIG_FILE}",
            hint="name another repo or commit: distwright repo list",
        )
    return commit, files


def applied_keyring(database: Database, objects: ObjectStore, path: str) -> Sha256:
    """Give the object of a keyring that is a file of the applied configuration; raise NotFound."""
    with database.read() as tx:
        row = applied_config(tx)
    kept = {} if row is None else json.loads(objects.read(row.config))["keyrings"]
    if path not in kept:
        raise NotFound(
            f"the applied configuration has no file {path}", hint="distwright config apply COMMIT --repo REPO"
        )
    return Sha256(kept[path])


def keyrings_of_commit(paths: StatePaths, repo: str, commit: str, config: Config) -> dict[str, bytes]:
    """Read the keyrings that a configuration names relative to its folder, at its commit; raise NotFound."""
    found = {path: file_at(paths.repo(repo), commit, path) for path in relative_keyrings(config)}
    return {path: checked_keyring(_required(content, path), path) for path, content in found.items()}


def keyrings_of_folder(folder: Path, config: Config) -> dict[str, bytes]:
    """Read the keyrings that a configuration names relative to its folder; raise NotFound."""
    found = {path: folder / path for path in relative_keyrings(config)}
    return {path: machine_keyring(str(file)) for path, file in found.items()}


def _readable(database: Database, objects: ObjectStore) -> Config | None:
    try:
        found = load_applied(database, objects)
    except BadConfig:
        return None
    return None if found is None else found[0]


def _required(content: bytes | None, path: str) -> bytes:
    if content is None:
        raise NotFound(f"keyring {path} is not beside distwright.toml", hint="add the file, or name an absolute path")
    return content


def note_private_names(database: Database, config: Config, now: datetime) -> None:
    """Keep what is private: whatever names it from now on is, too. Safe to repeat; writes only what is new.

    Raises Refused for what was private here and would be read by everybody by this configuration: packages, logs and pages of it
    were made in secret.
    """
    wanted = private_names(config)
    with database.read() as tx:
        known = list_private_names(tx)
    there = {*(f"{REPO}/{name}" for name in config.repos), *(f"{ARCHIVE}/{name}" for name in config.archives)}
    opened = sorted((known & there) - wanted)
    if opened:
        kind, _, name = opened[0].partition("/")
        other = f"distwright embargo open {name}" if kind == REPO else "give what everybody may read another name"
        raise Refused(
            f"{kind} {name} was private here, and would not be any more",
            hint=f"set private = true in [{kind}.{name}], or {other}",
        )
    if wanted - known:
        with database.write() as tx:
            add_private_names(tx, wanted, now)


def open_repo(database: Database, name: str) -> None:
    """Let the next configuration open a repo that was private; what was made of it until then stays hidden. Raises NotFound."""
    with database.write() as tx:
        if not drop_private_name(tx, f"{REPO}/{name}"):
            raise NotFound(f"repo {quoted(name)} was never private here", hint="distwright embargo list")


def _refuse_closing(old: Config | None, new: Config) -> None:
    """Refuse to hide an archive that everybody reads: what it has is served, and on mirrors."""
    for name, table in () if old is None else old.archives.items():
        if isinstance(table, OwnArchive) and not table.private and is_private_archive(new, name):
            raise Refused(
                f"archive {name} is public, and would be private",
                hint=f"set private in an archive of its own, not {name}",
            )


def plan_changes(old: Config | None, new: Config, paths: StatePaths) -> list[Change]:
    """List every table that applying `new` would add, change or remove, and what is not as `old` says and would be mended."""
    is_same = old is not None and old.site.git_user == new.site.git_user  # else there may be no such user any more
    hosted = repos_part.hosting_changes(old, paths) if old is not None and is_same else []
    return [*changed_tables(old, new), *hosted]


def apply_config(
    files: Mapping[str, str],
    keyrings: Mapping[str, bytes],
    commit: str,
    *,
    database: Database,
    objects: ObjectStore,
    paths: StatePaths,
    now: datetime,
) -> list[Change]:
    """Make the installation what the files say and give what changed; nothing, if it is that already. Safe to repeat.

    keyrings: those that the files name relative to their folder. What is given is what changed, and what of the hosting was not as
    the configuration in force says. What is in force and cannot be read by this version counts as
    nothing: every table is applied anew.
    """
    new = parse_config(sorted(files.items()))
    old = _readable(database, objects)
    _refuse_closing(old, new)
    note_private_names(database, new, now)  # before anything of theirs can be seen
    changes = plan_changes(old, new, paths)
    for change in repos_part.plan_config(old, new):
        repos_part.apply_change(change, new, paths)
    repos_part.host(new, paths, now)
    for change in archive_part.plan_config(old, new):
        archive_part.apply_change(change, new, database, objects, now)
    kept_keyrings: dict[str, Json] = {path: str(objects.put(content)) for path, content in sorted(keyrings.items())}
    document: dict[str, Json] = {"files": dict(files), "keyrings": kept_keyrings}
    kept = objects.put(canonical_json(document))
    with database.read() as tx:
        before = applied_config(tx)
    if before is None or (before.commit, before.config) != (commit, kept):
        with database.write() as tx:
            number = keep_applied_config(tx, AppliedConfig(commit, kept, now))
            needed = holds_on_all({CONFIG_FILE: str(kept), **kept_keyrings})
            replace_holds(tx, f"config {number}", needed, now)
            body = {"commit": commit, "config": str(kept)}
            append_event(tx, Event(EventKind.CONFIG_APPLIED, now, commit[:12], body))
    return changes
