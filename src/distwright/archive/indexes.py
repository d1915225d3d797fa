"""From a package tree to the index files that apt reads."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from distwright.archive.poolindex import PoolFile, pool_files
from distwright.archive.tree import Get, Leaf, TreeRoot
from distwright.errors import BadInput
from distwright.formats.release import IndexEntry, Release
from distwright.model.digests import sha256_of

ALL = "binary-all"
SOURCE = "source"
I18N = "i18n"
UDEBS = "debian-installer"  # lists of these are components of their own, below their component


def index_leaves(root: TreeRoot, lists: Sequence[str] = ()) -> dict[str, tuple[Leaf, ...]]:
    """Say which leaves, in order, are the text of each index: path below `dists/<suite>/` -> leaves.

    Packages of `all` are part of every architecture's index, after its own. lists: lists that must have an index even if they
    are empty ("main/binary-amd64").
    """
    found: dict[str, tuple[Leaf, ...]] = {}
    for name in sorted(set(root.lists) | set(lists)):
        component, _, kind = name.rpartition("/")  # a component may have slashes of its own: updates/main
        leaves = root.lists.get(name, ())
        if kind == SOURCE:
            found[f"{name}/Sources"] = leaves
        elif kind == I18N or kind.startswith(f"{I18N}-"):
            found[f"{component}/{I18N}/Translation-{kind.partition('-')[2] or 'en'}"] = leaves
        elif kind != ALL:
            found[f"{name}/Packages"] = leaves + root.lists.get(f"{component}/{ALL}", ())
    return found


def is_for_apt(list_name: str) -> bool:
    """Say whether a list is one of packages that apt installs: no sources, texts, or packages of the installer."""
    component, _, kind = list_name.rpartition("/")
    return kind.startswith("binary-") and not f"/{component}".endswith(f"/{UDEBS}")


def other_homes(list_name: str, lists: Iterable[str]) -> list[str]:
    """Say in which of some lists a package of this one must not be too: it is for all architectures, or for single ones."""
    component, _, kind = list_name.rpartition("/")
    if not kind.startswith("binary-"):
        return []
    if kind != ALL:
        return [f"{component}/{ALL}"]
    return sorted(
        name for name in lists if name.rpartition("/")[0] == component and name != list_name and "/binary-" in name
    )


def contents_path(path: str) -> str:
    """Say where the file lists of the packages of an index are: beside their folder; "" if they have none."""
    folder, _, name = path.rpartition("/")
    component, _, kind = folder.rpartition("/")
    is_binary = name == "Packages" and kind.startswith("binary-") and not component.endswith(f"/{UDEBS}")
    return f"{component}/Contents-{kind.removeprefix('binary-')}" if is_binary else ""


def index_files(root: TreeRoot, get: Get, lists: Sequence[str] = ()) -> dict[str, bytes]:
    """Render every index whole: path below `dists/<suite>/` -> text. For suites that fit into memory."""
    return {path: b"".join(get(leaf.digest) for leaf in leaves) for path, leaves in index_leaves(root, lists).items()}


def pool_of(root: TreeRoot, get: Get, without: TreeRoot | None = None) -> Iterator[PoolFile]:
    """List the pool files that a tree names; without: leave out those in leaves that this other tree has too."""
    for name, leaves in root.lists.items():
        kind = name.rpartition("/")[2]
        known = set() if without is None else {leaf.digest for leaf in without.lists.get(name, ())}
        if kind == I18N:
            continue
        for leaf in leaves:
            if leaf.digest not in known:
                yield from pool_files("Sources" if kind == SOURCE else "Packages", get(leaf.digest))


def entries_of_texts(texts: Mapping[str, bytes]) -> dict[str, IndexEntry]:
    """Describe indexes that are at hand whole."""
    return {path: IndexEntry(path, len(text), sha256_of(text), None) for path, text in sorted(texts.items())}


def release_of(fields: Mapping[str, str], indexes: Mapping[str, IndexEntry]) -> Release:
    """Describe indexes in a Release.

    fields: Origin, Label, Suite, Codename, Version, Description, NotAutomatic, ButAutomaticUpgrades, Signed-By, Snapshots; Date
    in ISO form; Valid-Days, how long after it apt may trust it; Names-Keys, for which `publish` sets Signed-By. Without a Date it
    is the epoch: such a Release never leaves a job, and must be the same each time. Architectures and components are those of the
    indexes.
    """
    date = datetime.fromisoformat(fields["Date"]) if "Date" in fields else datetime.fromtimestamp(0, UTC)
    lists = [path for path in indexes if "/Contents-" not in path and ".diff/" not in path]
    places = {tuple(path.rsplit("/", 2)[:2]) for path in lists}
    components = sorted({_component(place[0]) for place in places if place[-1] not in ("", UDEBS)})
    architectures = sorted({place[-1].removeprefix("binary-") for place in places if place[-1].startswith("binary-")})
    return Release(
        origin=fields.get("Origin", ""),
        label=fields.get("Label", ""),
        suite=fields.get("Suite", ""),
        version=fields.get("Version"),
        codename=fields.get("Codename", ""),
        snapshots=fields.get("Snapshots"),
        description=fields.get("Description", ""),
        date=date,
        valid_until=date + timedelta(days=_days(fields["Valid-Days"])) if "Valid-Days" in fields else None,
        not_automatic=fields.get("NotAutomatic") == "yes",
        but_automatic_upgrades=fields.get("ButAutomaticUpgrades") == "yes",
        acquire_by_hash=True,
        architectures=tuple(architectures),
        components=tuple(components),
        signed_by=tuple(key for key in fields.get("Signed-By", "").split(",") if key),
        indexes=indexes,
    )


def _component(place: str) -> str:
    return place.removesuffix(f"/{UDEBS}")


def _days(text: str) -> int:
    if not text.isdigit():
        raise BadInput(f"Valid-Days is {text}", hint="set valid_days to a number of days")
    return int(text)
