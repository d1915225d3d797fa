"""From a package tree to the index files that apt reads."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from distwright.archive.poolindex import PoolFile, pool_files
from distwright.archive.tree import Get, TreeRoot, list_text
from distwright.formats.release import IndexEntry, Release
from distwright.model.digests import sha256_of

ALL = "binary-all"


def index_files(root: TreeRoot, get: Get, lists: tuple[str, ...] = ()) -> dict[str, bytes]:
    """Render every index, uncompressed: path below `dists/<suite>/` -> text.

    Packages of `all` are part of every architecture's index, after its own. lists: lists that must have an index even if they
    are empty ("main/binary-amd64").
    """
    names = sorted(set(root.lists) | set(lists))
    rendered: dict[str, bytes] = {}
    for name in names:
        component, _, kind = name.rpartition("/")  # a component may have slashes of its own: updates/main
        if kind == ALL:
            continue
        if kind == "source":
            rendered[f"{name}/Sources"] = list_text(root, name, get)
        else:
            own, shared = list_text(root, name, get), list_text(root, f"{component}/{ALL}", get)
            rendered[f"{name}/Packages"] = own + shared
    return rendered


def pool_of(root: TreeRoot, get: Get) -> Iterator[PoolFile]:
    """List the pool files that a tree names."""
    for name in root.lists:
        yield from pool_files("Sources" if name.endswith("/source") else "Packages", list_text(root, name, get))


def release_of(fields: Mapping[str, str], indexes: Mapping[str, bytes]) -> Release:
    """Describe indexes in a Release. fields: Origin, Label, Suite, Codename, Description and, in ISO form, Date.

    Without a Date it is the epoch: such a Release never leaves a job, and must be the same each time.
    """
    date = datetime.fromisoformat(fields["Date"]) if "Date" in fields else datetime.fromtimestamp(0, UTC)
    places = [path.rsplit("/", 2)[:2] for path in indexes]
    components = sorted({component for component, _ in places})
    architectures = sorted({kind.removeprefix("binary-") for _, kind in places if kind.startswith("binary-")})
    return Release(
        origin=fields.get("Origin", ""),
        label=fields.get("Label", ""),
        suite=fields.get("Suite", ""),
        codename=fields.get("Codename", ""),
        description=fields.get("Description", ""),
        date=date,
        acquire_by_hash=True,
        architectures=tuple(architectures),
        components=tuple(components),
        indexes={path: IndexEntry(path, len(text), sha256_of(text), None) for path, text in sorted(indexes.items())},
    )
