"""Read a tree of live-build from a disk, as far as a repository can take it."""

import fnmatch
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from distwright.errors import DistwrightError, NotAllowed, NotFound, Refused, disk_error, quoted
from distwright.images.from_live_build import LiveBuildTree, TreeFile, is_include
from distwright.images.live_build_settings import is_settings
from distwright.images.live_build_variables import Notice, Verdict
from distwright.tools.git import FILES_LIMIT_BYTES

OF_LIVE_BUILD = Path("/usr/share/live/build")  # of Debian's package
_TEMPLATES = "bootloaders/grub-pc"
_READ = ("config", "auto")
_FILES_LIMIT = 200_000
_SETTINGS_BYTES = 1 << 20  # of a file of settings; that of `lb config` has some 5 KB
_LEFT_BEHIND = (
    ".build", ".lock", "cache", "chroot", "binary", "source", "chroot.*", "binary.*", "source.*", "*.iso", "*.img", "*.log",
    "*.zsync", "*.packages", "*.files", "*.contents",
)  # fmt: skip


def read_tree(place: Path, of_live_build: Path = OF_LIVE_BUILD) -> LiveBuildTree:
    """Read config/ and auto/ below a folder, whole in memory; nothing of it is run.

    No more than git may bring of a recipe (`FILES_LIMIT_BYTES`): the largest files that are too much are named, and left out.
    Raises NotFound if there is neither folder, Refused for more than 200,000 files.

    of_live_build: the folder of live-build's own files, if it is installed. Symlinks are followed there and within the tree, and
    nowhere else: a tree may be somebody else's, and what they lead to would end in a repository.
    """
    if not any((place / name).is_dir() for name in _READ):
        raise NotFound(
            f"{quoted(str(place))} has no folder config", hint="name the folder in which `lb build` is called"
        )
    notices: list[Notice] = []
    files: list[TreeFile] = []
    folders: list[str] = []
    templates = of_live_build / _TEMPLATES
    places = (place.resolve(), of_live_build.resolve())
    try:
        notices += _others(place)
        found = [path for name in _READ for path in islice(_below(place / name), _FILES_LIMIT + 1)]
        if len(found) > _FILES_LIMIT:
            raise Refused(
                f"{quoted(str(place))} has more than {_FILES_LIMIT} files in config/ and auto/",
                hint="put what is no configuration into a package",
            )
        sizes = {path: _size(path, places) for path in found}
        too_much = _too_much(sizes)
        for path in found:
            name = str(path.relative_to(place))
            limit = _SETTINGS_BYTES if is_settings(name) else FILES_LIMIT_BYTES
            if path.name.casefold() == ".git":
                notices.append(_of_git(name))
            elif path in too_much or sizes[path] > limit:
                notices.append(_too_large(name, sizes[path], limit))
            else:
                _take(path, sizes[path], name, places, files, folders, notices)
        ours = [TreeFile(str(path.relative_to(templates)), path.read_bytes(), 0o644) for path in _regular(templates)]
    except OSError as error:
        raise _refused(error, place) from error
    return LiveBuildTree(tuple(files), tuple(folders), tuple(notices), tuple(ours))


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


def _size(path: Path, places: Sequence[Path]) -> int:
    """Say how much is to be read of a file, or of what a link leads to."""
    return path.stat().st_size if _is_readable(path, places) else 0


def _too_much(sizes: Mapping[Path, int]) -> set[Path]:
    """Choose the largest files, until the rest is what git may bring."""
    left, chosen = sum(sizes.values()), set()
    for path in sorted(sizes, key=lambda path: (-sizes[path], path)):
        if left <= FILES_LIMIT_BYTES:
            break
        chosen.add(path)
        left -= sizes[path]
    return chosen


def _too_large(name: str, size: int, limit: int) -> Notice:
    return Notice(
        name, Verdict.NOT_HONOURED,
        f"has {size} bytes, and {'settings' if limit == _SETTINGS_BYTES else 'all files of a recipe'} may have {limit}: "
        "put what is large into a package",
    )  # fmt: skip


def _of_git(name: str) -> Notice:
    if is_include(name):
        how = "git takes nothing that is called so: bring it in a package, or let a hook make it"
        return Notice(name, Verdict.NOT_HONOURED, how)
    return Notice(name, Verdict.NOT_NEEDED, "is git's")


def _is_readable(path: Path, places: Sequence[Path]) -> bool:
    """Say whether it is a file, or a link to one within the tree or live-build's own."""
    return path.is_file() and (not path.is_symlink() or any(path.resolve().is_relative_to(one) for one in places))


def _below(folder: Path) -> Iterator[Path]:
    """Give what is below a folder, sorted: files, symlinks wherever they lead, empty folders, and whatever else there may be.

    A folder of git's own is given itself, and not what is in it.
    """
    for top, folders, names in os.walk(folder):
        here = Path(top)
        of_git = sorted(name for name in folders if name.casefold() == ".git")
        yield from (here / name for name in of_git)
        folders[:] = sorted(set(folders) - set(of_git))
        linked = [name for name in folders if (here / name).is_symlink()]
        yield from (here / name for name in sorted((*names, *linked)))
        yield from (here / name for name in folders if name not in linked and not any((here / name).iterdir()))


def _regular(folder: Path) -> Iterator[Path]:
    return (path for path in _below(folder) if path.is_file()) if folder.is_dir() else iter(())


def _take(
    path: Path,
    size: int,
    name: str,
    places: Sequence[Path],
    files: list[TreeFile],
    folders: list[str],
    notices: list[Notice],
) -> None:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        is_there = _is_readable(path, places)
        where = str(path.readlink())
        content = _content(path, size) if is_there else b""
        bits = stat.S_IMODE(path.stat().st_mode) if is_there else 0o644
        files.append(TreeFile(name, content, bits, where, is_there=is_there))
    elif stat.S_ISREG(mode):
        files.append(TreeFile(name, _content(path, size), stat.S_IMODE(mode)))
    elif stat.S_ISDIR(mode):
        folders.append(name)
    else:
        notices.append(Notice(name, Verdict.NOT_HONOURED, "is a device, a socket or a pipe: make it in a hook"))


def _content(path: Path, size: int) -> bytes:
    """Read what there was when it was looked at."""
    with path.open("rb") as file:
        return file.read(size)


def _refused(error: OSError, place: Path) -> DistwrightError:
    shown = quoted(str(error.filename or place))
    return disk_error(error, str(place)) or NotAllowed(
        f"{shown}: {error.strerror}", hint="run the command as somebody who may read the tree"
    )
