"""Write what came of a tree of live-build into a repository: all of it, or nothing.

It is written beside, into a folder of its own, settled, and renamed to its places, the file of tables last. Whatever ends that
takes back what was done; killed, the same command goes on: what is there already and is the same stays.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from distwright.errors import Busy, DistwrightError, NotAllowed, Refused, disk_error, quoted
from distwright.images.from_live_build import Imported
from distwright.images.recipe_files import ImageFile
from distwright.store.settle import settle_file_system, settle_folders

RECIPES, TABLES, KEYS = "images", "distwright.d", "keys"


def write_import(folder: Path, imported: Imported) -> tuple[Path, Path]:
    """Write recipe, keys and tables below a folder; give the recipe's folder and the file of tables.

    Raises Refused if something else of those names is there, before anything is written; OutOfSpace, NotAllowed, Busy. Then the
    folder is as it was.
    """
    recipe, tables = f"{RECIPES}/{imported.name}", f"{TABLES}/{imported.name}.toml"
    files = {f"{recipe}/{file.path}": file for file in imported.files}
    keys = {f"{KEYS}/{name}": ImageFile(name, content, is_executable=False) for name, content in imported.keys.items()}
    files |= keys | {tables: ImageFile(tables, imported.tables.encode(), is_executable=False)}
    targets = (*keys, recipe, tables)  # the tables last: they name the others
    try:
        missing = [target for target in targets if not _is_there(folder, target, files)]
        with _folders_for(folder, targets), _beside(folder, imported.name) as beside:
            for name, file in files.items():
                _write(beside / name, file)
            settle_file_system(beside)
            with _all_or_none(beside, folder, missing):
                for target in missing:
                    (beside / target).rename(folder / target)
            settle_folders({(folder / target).parent for target in targets})
    except OSError as error:
        raise disk_error(error, str(folder)) or NotAllowed(
            f"{quoted(str(error.filename or folder))}: {error.strerror}: nothing was written",
            hint="run the command as somebody who may write there",
        ) from error
    return folder / recipe, folder / tables


def _is_there(folder: Path, target: str, files: Mapping[str, ImageFile]) -> bool:
    """Say whether what is to be written is there already, all of it and nothing else; raise Refused for something else."""
    place = folder / target
    if not os.path.lexists(place) or (place.is_dir() and not place.is_symlink() and not any(place.iterdir())):
        return False
    wanted = {name: file for name, file in files.items() if name == target or name.startswith(f"{target}/")}
    if not (
        _names_below(folder, place) == wanted.keys() and all(_is_same(folder / name, wanted[name]) for name in wanted)
    ):
        raise Refused(f"{quoted(str(place))} is there already", hint="remove it, or choose another --name or --into")
    return True


def _names_below(folder: Path, place: Path) -> set[str]:
    if place.is_symlink() or not place.is_dir():
        return {str(place.relative_to(folder))}
    return {str(path.relative_to(folder)) for path in place.rglob("*") if path.is_symlink() or not path.is_dir()}


def _is_same(place: Path, file: ImageFile) -> bool:
    if file.link is not None or place.is_symlink():
        return place.is_symlink() and str(place.readlink()) == file.link
    if not place.is_file() or place.stat().st_size != len(file.content):
        return False
    return place.read_bytes() == file.content and bool(place.stat().st_mode & 0o100) == file.is_executable


@contextlib.contextmanager
def _folders_for(folder: Path, targets: Sequence[str]) -> Iterator[None]:
    """Make the folders that targets are in; if anything ends this before its end, an error or Ctrl-C, remove those that we made."""
    made: list[Path] = []
    try:
        for target in targets:
            for place in reversed((folder / target).parents):
                if not place.is_dir():
                    made.append(place)
                    place.mkdir()
        yield
    except BaseException:
        for place in reversed(made):
            with contextlib.suppress(OSError):  # not made yet, or somebody has put something into it
                place.rmdir()
        raise


@contextlib.contextmanager
def _all_or_none(beside: Path, folder: Path, targets: Sequence[str]) -> Iterator[None]:
    """Rename targets back if anything ends this before its end. What is not beside any more was ours."""
    try:
        yield
    except BaseException:
        for target in reversed(targets):
            if os.path.lexists(folder / target) and not os.path.lexists(beside / target):
                (folder / target).rename(beside / target)
        raise


@contextlib.contextmanager
def _beside(folder: Path, name: str) -> Iterator[Path]:
    """Give an empty folder of ours on the same disk, removed at the end. Raises Busy while another import writes to it."""
    place = folder / f".import-of-{name}"
    place.mkdir(exist_ok=True)
    held = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _busy(folder, name) from None
        if not place.exists() or not os.path.samestat(os.fstat(held), place.stat()):
            raise _busy(folder, name)
        try:
            for left in place.iterdir():  # of one that was killed
                _remove(left)
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)
    finally:
        os.close(held)


def _busy(folder: Path, name: str) -> DistwrightError:
    return Busy(f"another import of {name} writes into {quoted(str(folder))}", hint="run the same command again")


def _write(target: Path, file: ImageFile) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if file.link is not None:
        target.symlink_to(file.link)
        return
    target.write_bytes(file.content)
    target.chmod(0o755 if file.is_executable else 0o644)


def _remove(place: Path) -> None:
    """Remove a file, a link, or a folder of ours with all that is in it."""
    if place.is_symlink() or not place.is_dir():
        place.unlink(missing_ok=True)
    else:
        shutil.rmtree(place)
