"""The package files that a recipe brings along: a suite of their own beside the archives, in which apt takes exactly them."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from distwright.archive.intake import TakenDeb, take_deb
from distwright.archive.made_suite import made_entry
from distwright.archive.tree import TreeEntry, build_tree
from distwright.builds.environment import EnvironmentRecipe
from distwright.errors import BadInput, listed, quoted
from distwright.model.versions import DebVersion
from distwright.store.objects import ObjectStore

ARCHIVE, SUITE = "_recipe", "recipe"  # so the manifest names the files: _recipe/recipe/pool/...


def own_preferences(names: Iterable[str]) -> bytes:
    """Give the apt_preferences(5) by which apt takes these packages as the recipe has them, whatever the archives have."""
    pin = f"Pin: release o={SUITE},l={SUITE}\nPin-Priority: 1001\n"
    return "\n".join(f"Package: {name}\n{pin}" for name in sorted(names)).encode()


def with_own_packages(
    root: EnvironmentRecipe, debs: Mapping[str, bytes], objects: ObjectStore
) -> tuple[EnvironmentRecipe, frozenset[str]]:
    """Give the root with these packages installed, and their names. debs: by file name.

    Raises BadInput with all that is wrong: files that are no packages, for another architecture, or two of one package.
    """
    if not debs:
        return root, frozenset()
    problems: list[str] = []
    taken = [one for name in sorted(debs) if (one := _taken(name, debs[name], objects, root.architecture, problems))]
    names = [one.name for one in taken]
    problems += [f"{name} is there more than once" for name in sorted({one for one in names if names.count(one) > 1})]
    if problems:
        raise BadInput(f"packages.chroot/ has problems:\n{listed(problems)}", hint="see docs/reference/recipe.md")
    entries = [TreeEntry(one.list_name, one.name, DebVersion(one.version), one.stanza) for one in taken]
    components = tuple(sorted({one.component for one in taken}))
    tree = build_tree(entries, objects.put)
    entry = made_entry(objects, tree, components, root.architecture, ARCHIVE, SUITE)
    more = replace(
        root,
        shelf=(entry, *root.shelf),  # of two files of one version and with one paragraph, apt takes the first
        components={**root.components, entry.name: components},
        include=tuple(sorted({*root.include, *names})),
    )
    return more, frozenset(names)


def _taken(name: str, content: bytes, objects: ObjectStore, architecture: str, problems: list[str]) -> TakenDeb | None:
    path = str(objects.local_path(objects.put(content)))
    try:
        taken = take_deb(path)
    except BadInput as error:
        problems.append(f"{name} is no sound package: {error.message.removeprefix(f'{quoted(path)}: ')}")
        return None
    if taken.is_udeb or taken.architecture not in ("all", architecture):
        problems.append(f"{name} is for {taken.architecture}")
        return None
    return taken
