"""What a bundle from outside may say: looked at whole before anything is ordered of it, so that it is the bundle that is wrong.

An order of ours has all of this because it was made so; that of a stranger is read by the same steps, which take it as given.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping

from distwright.builds.environment import EnvironmentRecipe
from distwright.errors import BadInput, Refused, quoted
from distwright.images.forms import BUILD_KIND, FORM, form_of
from distwright.images.iso import COMPRESSIONS
from distwright.images.recorded import SETTINGS
from distwright.jobs.step import Inputs, ShelfEntry
from distwright.model import plain
from distwright.model.digests import Json
from distwright.model.names import our_name

_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~_-]{0,250}")
_FILE = re.compile(r"[^/\0]{1,200}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:+~_/=!-]{0,255}")
_ARCHIVE = re.compile(r"_?[a-z0-9][a-z0-9._+-]{0,80}")
_SUITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+/-]{0,200}")
_EPOCHS = range(1 << 33)  # seconds: up to the year 2242
_VARIANTS = frozenset({"buildd", "minbase", "essential", "apt", "important", "standard"})
_TEXTS = ("image", "name", "commit", "title", "label", "disk_info")
_TEXTS_OF_FORM_2 = ("repo", "branch", "version", "url")
_SIZES = ("persistence_mb", "upgrade_mb")
_MAX_MB = 1 << 22
_FILES = ("hooks", "files", "preseed", "preferences", "medium_hooks")  # keys are names of files

_Reader = Callable[[plain.Plain, str], object]
_NEEDED: Mapping[str, _Reader] = {
    **dict.fromkeys(_TEXTS, plain.text), "epoch": plain.number, "root": plain.mapping, "tools": plain.mapping,
    "hooks": plain.digest_map, "files": plain.text_map, "states": plain.text_map, "kernel_options": plain.texts,
    "includes": plain.digest,
}  # fmt: skip
_OF_FORM_2: Mapping[str, _Reader] = {
    **dict.fromkeys(_TEXTS_OF_FORM_2, plain.text), "keyrings": plain.text_map, "vendors": plain.text_map, "outputs": plain.texts,
}  # fmt: skip
_MORE: Mapping[str, _Reader] = {
    **dict.fromkeys(("before", "excludes", "medium"), plain.digest),
    **dict.fromkeys(("preseed", "preferences", "medium_hooks"), plain.digest_map),
    **dict.fromkeys(("trackers", "web_seeds", "mentioned"), plain.texts),
    **dict.fromkeys(("recommends", "documentation"), plain.flag),
    **dict.fromkeys(_SIZES, plain.number), "menu": plain.text, "compression": plain.text, "recorded": plain.mapping,
}  # fmt: skip


def no_bundle(message: str) -> BadInput:
    """Say what is wrong in a bundle; raise what it gives."""
    return BadInput(message, hint="fetch it again; if it stays so, tell those who publish it")


def check_order(order: Inputs) -> None:
    """Look whether an order of another installation is one of an image. Raises BadInput; Refused for one of a later version."""
    if "form" in order and plain.number(order, "form") > FORM:
        raise Refused("a later version of distwright has made the bundle", hint="install the version that made it")
    wanted = {
        **_NEEDED,
        **(_OF_FORM_2 if form_of(order) >= 2 else {}),
        **{key: _MORE[key] for key in _MORE.keys() & order.keys()},
    }
    for key, read in sorted(wanted.items()):
        read(order, key)
    our_name(plain.text(order, "image"), "image")
    _match(_IMAGE, plain.text(order, "name"), "name of an image")
    for key in _FILES:
        for name in plain.mapping(order, key) if key in order else ():
            if not _FILE.fullmatch(name) or name in (".", ".."):
                raise _no(name, f"name of a file ({key})")
    _among(plain.number(order, "epoch"), _EPOCHS, "epoch")
    for key in _SIZES:
        _among(plain.number(order, key) if key in order else 0, range(_MAX_MB), key)
    if order.get("compression", "xz") not in COMPRESSIONS:
        raise _no(str(order["compression"]), "compression")
    if "base" in order:
        raise _no("base", f"word of an order of {BUILD_KIND.name}")
    for key in ("root", "tools"):
        _check_recipe(EnvironmentRecipe.from_json(plain.mapping(order, key)))


def check_tables(tables: Mapping[str, plain.Plain]) -> None:
    """Look whether settings of archives are those by which a state is recorded, as TOML can have them. Raises BadInput."""
    for name, table in tables.items():
        our_name(name, "archive")
        for key, value in table.items():
            if key not in SETTINGS:
                raise no_bundle(f"it sets {quoted(key)} of an archive")
            _check_setting(key, value)
        plain.text(table, "keyring")


def check_shelf(
    shelf: Iterable[ShelfEntry],
    snapshots: Collection[tuple[str, str]],
    recorded: Collection[str],
    ours: Collection[str],
) -> None:
    """Look whether each suite can be had: a recorded one by its snapshot, one of ours by its pool. Raises BadInput.

    snapshots: archive and document of each. recorded, ours: archives of which it says how to record them, or which files were used.
    """
    if strange := sorted({archive for archive, _ in snapshots} - set(recorded)):
        raise no_bundle(f"it does not say how {quoted(strange[0])} is recorded")
    for entry in shelf:
        is_there = entry.archive in ours if entry.is_own else (entry.archive, entry.document) in snapshots
        if not is_there and not (entry.is_own and entry.archive.startswith("_")):
            raise no_bundle(f"it does not say where {quoted(entry.name)} can be had")


def _check_setting(key: str, value: Json) -> None:
    for one in value if isinstance(value, list | tuple) else (value,):
        if not isinstance(one, str | bool | int) or (isinstance(one, str) and not one.isprintable()):
            raise _no(str(one), f"value of {key} of an archive")


def _check_recipe(recipe: EnvironmentRecipe) -> None:
    if not recipe.shelf:
        raise no_bundle("a root is made of no suite at all")
    for entry in recipe.shelf:
        _check_entry(entry)
        if entry.name not in recipe.components:
            raise no_bundle(f"nothing is said of the components of {quoted(entry.name)}")
    if recipe.variant not in _VARIANTS:
        raise _no(recipe.variant, "variant of mmdebstrap")
    _among(recipe.epoch, _EPOCHS, "epoch")
    _match(_FILE, recipe.architecture, "architecture")
    words = [*recipe.include, recipe.architecture, *(name for name, _ in recipe.pins)]
    for word in (*words, *(part for parts in recipe.components.values() for part in parts)):
        _match(_WORD, word, "name of a package or a component")
    for name, version in recipe.pins:
        _match(_WORD, version.removeprefix("!"), f"version of {quoted(name)}")


def _check_entry(entry: ShelfEntry) -> None:
    for archive in (entry.archive, entry.folder):
        _match(_ARCHIVE, archive, "name of an archive")
    _match(_SUITE, entry.suite, "name of a suite")
    if ".." in entry.name:
        raise _no(entry.name, "name of a suite")


def _among(number: int, allowed: range, what: str) -> None:
    if number not in allowed:
        raise _no(str(number)[:40], what)


def _match(pattern: re.Pattern[str], text: str, what: str) -> None:
    if not pattern.fullmatch(text):
        raise _no(text, what)


def _no(text: str, what: str) -> BadInput:
    return no_bundle(f"{quoted(text)} is no {what}")
