"""Suites that are made for one question or one image: a tree of packages that apt can read beside the others, and nobody else."""

from collections.abc import Sequence

from distwright.archive.tree import TreeRoot
from distwright.jobs.step import ShelfEntry
from distwright.store.objects import ObjectStore


def made_entry(
    objects: ObjectStore, root: TreeRoot, components: Sequence[str], architecture: str, archive: str, name: str
) -> ShelfEntry:
    """Keep a tree and give the shelf entry that serves it as suite `name`.

    archive: begins with "_", so that none of ours is called so (model/names.py), and apt asks for it as it stands, without %.
    """
    document = objects.put(root.to_bytes())
    fields = tuple((field, name) for field in ("Codename", "Label", "Origin", "Suite"))
    lists = tuple(f"{component}/binary-{architecture}" for component in components)
    return ShelfEntry(archive, name, document, is_own=True, fields=fields, lists=lists)
