"""Read an archive that aptly keeps: what its database says through aptly itself, and the files of its pool.

Nothing of theirs is written: aptly is run on a copy of its database, with a configuration of ours, for opening the database alone
changes it, and needs a lock that a running aptly has.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from distwright.archive.from_tree import tree_archive
from distwright.archive.theirs import SOURCE, TheirArchive, TheirFile, TheirPackage, TheirSuite
from distwright.errors import BadInput, BadUsage, NotFound, quoted
from distwright.formats.paths import safe_file_name
from distwright.formats.values import checksum_list, number
from distwright.model.digests import Json
from distwright.tools.aptly import list_packages, read_json
from distwright.tools.run import ENVIRONMENT

SNAPSHOT = "snapshot:"
_HASHED = 32  # signs of the SHA-256 that aptly's pool uses
_FIELDS = ("Origin", "Label", "Suite", "Codename", "NotAutomatic", "ButAutomaticUpgrades")

Holding = tuple[str, str, str]  # component, kind (repo or snapshot), name


def aptly_archive(place: Path, scratch: Path, wanted: Sequence[str] = ()) -> TheirArchive:
    """Read aptly's root directory, or the one that a configuration file names. scratch: an empty folder of ours.

    Suites are what is published, by distribution (with the prefix before it), at its present state; repositories that are not
    published, by their names; and those of `wanted` that are written `snapshot:NAME`. Raises NotFound, BadInput, ProgramFailed.
    """
    root, pool = _places(place)
    _refuse_odd_database(root / "db")
    if shutil.which("aptly", path=ENVIRONMENT["PATH"]) is None:
        note = "aptly is not installed here, so this is what it published last: apt install aptly"
        found = tree_archive(root / "public", scratch)
        return TheirArchive(found.suites, notes=(*found.notes, note))
    ignore = shutil.ignore_patterns("LOCK", "LOG", "LOG.old")
    try:
        shutil.copytree(root / "db", scratch / "db", ignore=ignore)
    except (shutil.Error, OSError) as error:
        raise BadInput(
            f"the database of aptly changed while it was copied: {quoted(str(error))}",
            hint="run the same command again",
        ) from error
    config = scratch / "aptly.conf"
    config.write_text(json.dumps({"rootDir": str(scratch)}), encoding="utf-8")
    suites = [*_published(config, pool), *_unpublished(config, pool)]
    for name in wanted:
        if name.startswith(SNAPSHOT):
            holding = ("main", "snapshot", name.removeprefix(SNAPSHOT))
            suites.append(TheirSuite(name, (), (), partial(_packages, config, pool, (holding,))))
    if not suites:  # also what aptly says of a database that has lost its files: it makes a new one
        raise NotFound(
            f"the database of aptly in {quoted(str(root / 'db'))} has no repository and nothing published",
            hint=f"run there: aptly db recover; or on what is published: distwright archive import ARCHIVE tree {root / 'public'}",
        )
    return TheirArchive(tuple(suites))


def _refuse_odd_database(database: Path) -> None:
    """Refuse what is no folder of plain files: reading a pipe never ends, and a link may lead anywhere."""
    if database.is_symlink():
        raise BadInput(f"{quoted(str(database))} is a link", hint="name the rootDir that it leads to")
    if not database.exists():
        raise NotFound(
            f"{quoted(str(database.parent))} has no database of aptly",
            hint="name its rootDir, or its configuration file",
        )
    odd = [
        path
        for path in (database, *sorted(database.rglob("*")))
        if path.is_symlink() or not (path.is_file() or path.is_dir())
    ]
    if odd or not database.is_dir():
        raise BadInput(
            f"{quoted(str([*odd, database][0]))} is no part of a database of aptly",
            hint="look what it is, and move it away",
        )


def _places(place: Path) -> tuple[Path, Path]:
    """Give the root and the pool; raise BadUsage for a configuration that is not on this machine's disk."""
    if place.is_dir():
        return place, place / "pool"
    try:
        if place.exists() and not place.is_file():
            raise ValueError("reading a pipe never ends")
        settings = json.loads(place.read_bytes())
        root = Path(settings.get("rootDir") or "~/.aptly").expanduser()
        pool = settings.get("packagePoolStorage") or {}
        backend = settings.get("databaseBackend") or {}
        kinds = (pool.get("type", "local"), backend.get("type", "leveldb"))
        folder = Path(pool.get("path") or root / "pool")
    except FileNotFoundError:
        raise NotFound(
            f"{quoted(str(place))} does not exist", hint="name aptly's rootDir, or its configuration"
        ) from None
    except (
        ValueError,
        AttributeError,
        TypeError,
        RuntimeError,
        OSError,
    ) as error:  # RuntimeError: too deep, or ~nobody
        raise BadUsage(f"{quoted(str(place))} is no configuration of aptly in JSON", hint="name its rootDir") from error
    if kinds != ("local", "leveldb"):
        raise BadUsage(
            f"{quoted(str(place))} keeps its pool or database elsewhere",
            hint="distwright archive import ARCHIVE tree PATH, on what is published",
        )
    return root, folder


def _published(config: Path, pool: Path) -> Iterator[TheirSuite]:
    for row in _rows(read_json(config, "publish", "list", "-json")):
        prefix = "/".join(part for part in (_text(row, "Storage"), _text(row, "Prefix")) if part not in ("", "."))
        distribution = _text(row, "Distribution")
        kind = "repo" if row.get("SourceKind") == "local" else "snapshot"
        holdings = [(_text(source, "Component"), kind, _text(source, "Name")) for source in _rows(row.get("Sources"))]
        architectures = row.get("Architectures")
        yield TheirSuite(
            f"{prefix}/{distribution}" if prefix else distribution,
            tuple(component for component, _, _ in holdings),
            tuple(str(name) for name in architectures if name != SOURCE) if isinstance(architectures, list) else (),
            partial(_packages, config, pool, holdings),
            {name: _text(row, name) for name in _FIELDS if row.get(name)},
        )


def _unpublished(config: Path, pool: Path) -> Iterator[TheirSuite]:
    published = _rows(read_json(config, "publish", "list", "-json"))
    known = {
        _text(source, "Name")
        for row in published
        if row.get("SourceKind") == "local"
        for source in _rows(row.get("Sources"))
    }
    for row in _rows(read_json(config, "repo", "list", "-json")):
        name, component = _text(row, "Name"), _text(row, "DefaultComponent") or "main"
        if name not in known:
            yield TheirSuite(name, (component,), (), partial(_packages, config, pool, ((component, "repo", name),)))


def _packages(config: Path, pool: Path, holdings: Sequence[Holding]) -> Iterator[TheirPackage]:
    for component, kind, holding in holdings:
        for row in list_packages(config, kind, holding):
            name, version, architecture, section, priority, filename, size, md5, sha256, checksums, md5s = row
            try:
                if filename:
                    known = safe_file_name(filename)
                    files: tuple[TheirFile, ...] = (
                        TheirFile(known, _in_pool(pool, known, sha256, md5), sha256, number(size)),
                    )
                else:
                    architecture = SOURCE
                    files = _source_files(pool, checksums, md5s)
            except BadInput as error:
                raise BadInput(
                    f"aptly lists {quoted(name)} in {quoted(holding)}: {error.message}",
                    hint="run there: aptly db recover",
                ) from error
            yield TheirPackage(component, name, version, architecture, section, priority, files)


def _source_files(pool: Path, checksums: str, md5s: str) -> tuple[TheirFile, ...]:
    weak = {name: digest for name, (digest, _) in checksum_list(md5s, str, safe_file_name).items()}
    rows = checksum_list(checksums, str, safe_file_name)
    files = [
        TheirFile(name, _in_pool(pool, name, sha256, weak.get(name, "")), sha256, size)
        for name, (sha256, size) in rows.items()
    ]
    return tuple(sorted(files, key=lambda file: (not file.name.endswith(".dsc"), file.name)))


def _in_pool(pool: Path, name: str, sha256: str, md5: str) -> str:
    """Say where aptly keeps a file: by SHA-256, or by MD5 as before version 1.1."""
    present = f"{pool}/{sha256[:2]}/{sha256[2:4]}/{sha256[4:_HASHED]}_{name}"
    before = Path(f"{pool}/{md5[:2]}/{md5[2:4]}/{name}")
    return str(before) if md5 and not Path(present).exists() and before.exists() else present


def _rows(value: Json) -> list[Mapping[str, Json]]:
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []


def _text(row: Mapping[str, Json], name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""
