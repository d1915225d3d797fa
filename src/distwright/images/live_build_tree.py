"""Read a tree of live-build from a disk, and write what came of it into a repository."""

import fnmatch
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from distwright.errors import DistwrightError, NotAllowed, NotFound, Refused, disk_error, quoted
from distwright.images.from_live_build import Imported, LiveBuildTree, TreeFile
from distwright.images.live_build_variables import Notice, Verdict

OF_LIVE_BUILD = Path("/usr/share/live/build")  # of Debian's package
_TEMPLATES = "bootloaders/grub-pc"
RECIPES, TABLES, KEYS = "images", "distwright.d", "keys"
_READ = ("config", "auto")
_LEFT_BEHIND = (
    ".build", ".lock", "cache", "chroot", "binary", "source", "chroot.*", "binary.*", "source.*", "*.iso", "*.img", "*.log",
    "*.zsync", "*.packages", "*.files", "*.contents",
)  # fmt: skip


def read_tree(place: Path, of_live_build: Path = OF_LIVE_BUILD) -> LiveBuildTree:
    """Read config/ and auto/ below a folder, whole in memory; nothing of it is run. Raises NotFound if there is neither.

    of_live_build: the folder of live-build's own files, if it is installed. Symlinks are followed there and within the tree, and
    nowhere else: a tree may be somebody else's, and what they lead to would end in a repository.
    """
    if not any((place / name).is_dir() for name in _READ):
        raise NotFound(
            f"{quoted(str(place))} has no folder config", hint="name the folder in which `lb build` is called"
        )
    notices = list(_others(place))
    files: list[TreeFile] = []
    folders: list[str] = []
    templates = of_live_build / _TEMPLATES
    places = (place.resolve(), of_live_build.resolve())
    try:
        for name in _READ:
            for path in _below(place / name):
                _take(path, str(path.relative_to(place)), places, files, folders, notices)
        ours = [TreeFile(str(path.relative_to(templates)), path.read_bytes(), 0o644) for path in _regular(templates)]
    except OSError as error:
        raise _refused(error, place) from error
    return LiveBuildTree(tuple(files), tuple(folders), tuple(notices), tuple(ours))


def write_import(folder: Path, imported: Imported) -> tuple[Path, Path]:
    """Write recipe, keys and tables below a folder; give the recipe's folder and the file of tables.

    Raises Refused if a recipe or tables of that name are there, before anything is written.
    """
    recipe, tables = folder / RECIPES / imported.name, folder / TABLES / f"{imported.name}.toml"
    for place in (tables, *(folder / KEYS / name for name in imported.keys), recipe):
        if place.is_dir() and not any(place.iterdir()):
            continue
        if os.path.lexists(place):
            raise Refused(
                f"{quoted(str(place))} is there already", hint="remove it, or choose another --name or --into"
            )
    try:
        for file in imported.files:
            target = recipe / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            if file.link is not None:
                target.symlink_to(file.link)
                continue
            target.write_bytes(file.content)
            target.chmod(0o755 if file.is_executable else 0o644)
        for name, content in imported.keys.items():
            (folder / KEYS).mkdir(parents=True, exist_ok=True)
            (folder / KEYS / name).write_bytes(content)
        tables.parent.mkdir(parents=True, exist_ok=True)
        tables.write_text(imported.tables, encoding="utf-8")
    except OSError as error:
        raise _refused(error, folder) from error
    return recipe, tables


def _others(place: Path) -> Iterator[Notice]:
    for entry in sorted(place.iterdir()):
        if entry.name in _READ or entry.name.startswith(".git"):
            continue
        if any(fnmatch.fnmatchcase(entry.name, pattern) for pattern in _LEFT_BEHIND):
            yield Notice(entry.name, Verdict.NOT_NEEDED, "is what a build left there")
        elif not entry.is_dir() or any(path.is_symlink() or not path.is_dir() for path in _below(entry)):
            yield Notice(
                entry.name, Verdict.NOT_HONOURED, "is outside of config/; what an image needs must be below it"
            )


def _below(folder: Path) -> Iterator[Path]:
    """Give what is below a folder, sorted: files, symlinks wherever they lead, empty folders, and whatever else there may be."""
    for top, folders, names in os.walk(folder):
        folders.sort()
        here = Path(top)
        linked = [name for name in folders if (here / name).is_symlink()]
        yield from (here / name for name in sorted((*names, *linked)))
        yield from (here / name for name in folders if name not in linked and not any((here / name).iterdir()))


def _regular(folder: Path) -> Iterator[Path]:
    return (path for path in _below(folder) if path.is_file()) if folder.is_dir() else iter(())


def _take(
    path: Path, name: str, places: Sequence[Path], files: list[TreeFile], folders: list[str], notices: list[Notice]
) -> None:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        is_there = path.is_file() and any(path.resolve().is_relative_to(one) for one in places)
        where = str(path.readlink())
        content = path.read_bytes() if is_there else b""
        bits = stat.S_IMODE(path.stat().st_mode) if is_there else 0o644
        files.append(TreeFile(name, content, bits, where, is_there=is_there))
    elif stat.S_ISREG(mode):
        files.append(TreeFile(name, path.read_bytes(), stat.S_IMODE(mode)))
    elif stat.S_ISDIR(mode):
        folders.append(name)
    else:
        notices.append(Notice(name, Verdict.NOT_HONOURED, "is a device, a socket or a pipe: make it in a hook"))


def _refused(error: OSError, place: Path) -> DistwrightError:
    shown = quoted(str(error.filename or place))
    return disk_error(error, str(place)) or NotAllowed(
        f"{shown}: {error.strerror}", hint="run the command as somebody who may read the tree and write there"
    )
