"""Apply an upgrade kit to a folder where the live partition of a device is mounted, or to the image of a device, as a file.

The kit's own `apply` works on a folder and can be cut off at any time. For a file, the folder is a copy of its live partition, and
what comes out is written into a copy of the file, which takes its place when it is whole.
"""

import contextlib
import fcntl
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from distwright.errors import BadInput, Busy, NotAllowed, NotFound, OutOfSpace, Refused, WorkFailed, disk_error, quoted
from distwright.formats.fat import Fat
from distwright.images.kit_scripts import WORK_KIB
from distwright.images.room import Wanted, want_room
from distwright.images.usb import ESP_SECTOR
from distwright.store.settle import settle_folders
from distwright.tools.run import Command, Finished, last_lines, run

_OFFSET = ESP_SECTOR * 512
_WORK_BYTES = WORK_KIB << 10
_BLOCK_BYTES = 4096  # of the file system that files are put on
_SCRIPT_BYTES = 1 << 20
_ANY_MAY_WRITE = 0o222
# In kits that were made up to version 0.3, and from there on.
_ROOM = re.compile(rb'(?:"\$free" -gt|room "\$PWD") ([0-9]{1,12}) ')
_NO_ROOM = 20  # exit code of `apply`
_FICLONE = 0x40049409  # linux/fs.h
_TIMEOUT_S = 4 * 3600
_MTOOLS = {"MTOOLS_SKIP_CHECK": "1", "MTOOLSRC": "/dev/null"}


def apply_kit(kit: Path, device: Path) -> str:
    """Make a device what the kit says; give the kit's last word. kit: verified before, its programs are run.

    device: a folder, or a file, or a link to one, which stays a link. Killed at any time, it starts as the old system or as the new
    one. A file wants as much space beside it as it has (less where its file system shares what copies have in common), and as both
    live systems and the kit in the folder for temporary files; a copy that is left over is replaced the next time. Raises Busy if
    another one upgrades the same file, BadInput for what is no device of ours, Refused where the kit says that it is not for it,
    OutOfSpace before anything is written where there is no room for all of it, and if the live partition of a file is too small,
    NotAllowed for a file that nobody may write to, or in whose folder none can be made, NotFound for a link that leads nowhere.
    """
    new_bytes = _new_bytes(kit)
    work_bytes = kit.stat().st_size + _WORK_BYTES
    if device.is_dir():
        with tempfile.TemporaryDirectory(prefix="distwright-kit-") as folder:
            want_room([Wanted(Path(folder), work_bytes, "the kit")])
            _unpack(kit, Path(folder))
            return _apply(Path(folder, "kit"), device, Path(folder))
    with _allowed(device):
        device = _writable(device)
        old_bytes = _live_bytes(device)
    with _allowed(device), _alone(device), tempfile.TemporaryDirectory(prefix="distwright-kit-") as folder:
        copy = device.with_name(f".{device.name}.new")
        copy.unlink(missing_ok=True)  # of a run that was killed: we are alone
        taken = 0 if _is_shared(device, copy) else device.stat().st_blocks * 512
        both = Wanted(Path(folder), work_bytes + old_bytes + new_bytes, "the kit and both live systems")
        want_room(
            [both, Wanted(device.absolute().parent, taken + new_bytes, "the copy that takes the place of the file")]
        )
        said = _apply_to_file(kit, device, copy, Path(folder))
    settle_folders({device.parent})
    return said


@contextlib.contextmanager
def _allowed(device: Path) -> Iterator[None]:
    """Say what the system has against it as what it is. Raises OutOfSpace, DiskFailed, NotAllowed."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, str(device.parent)) or NotAllowed(
            f"{error.filename or device}: {error.strerror}: nothing was changed",
            hint=f"ls -ld {device.parent} {device}",
        ) from error


def _writable(device: Path) -> Path:
    """Give the file itself, which will be replaced in its folder. Raises NotFound, BadInput, NotAllowed."""
    try:
        found = device.resolve(strict=True)
    except (FileNotFoundError, RuntimeError) as error:  # or links in a circle
        raise NotFound(f"{device} leads to no file", hint=f"ls -l {device}") from error
    if not found.is_file():
        raise BadInput(
            f"{device} is neither a file nor a folder",
            hint="mount the live partition of a real device and give that folder",
        )
    # Who may write to its folder may replace it all the same, and root may anything: but somebody wants it as it is.
    if not found.stat().st_mode & _ANY_MAY_WRITE or not os.access(found, os.W_OK):
        raise NotAllowed(f"{found} is not to be written to: nothing was changed", hint=f"chmod u+w {found}")
    return found


@contextlib.contextmanager
def _alone(device: Path) -> Iterator[None]:
    """Keep others from upgrading the same file. Raises Busy."""
    with device.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _busy(device) from None
        if not os.path.samestat(os.fstat(file.fileno()), device.stat()):  # it was replaced between both
            raise _busy(device)
        yield


def _busy(device: Path) -> Busy:
    return Busy(f"{device} is being upgraded already", hint="try again when that is done")


def _apply_to_file(kit: Path, device: Path, copy: Path, folder: Path) -> str:
    live, unpacked = folder / "live", folder / "kit"
    _unpack(kit, folder)
    _take_out(device, live)
    said = _apply(unpacked, live, folder)
    try:
        copy.touch(exist_ok=False)  # never what somebody else has put there: O_EXCL follows no link
        _checked(("cp", "--reflink=auto", "--sparse=always", "--", str(device), str(copy)))
        _put_back(unpacked, live, copy)
        shutil.rmtree(live)  # both would take twice the room
        _compare(unpacked, copy, folder / "again")
        before = device.stat()
        with contextlib.suppress(PermissionError):  # only root may give it away
            os.chown(copy, before.st_uid, before.st_gid)
        shutil.copystat(device, copy)
        _checked(("sync", "--", str(copy)))
        copy.replace(device)
    finally:
        copy.unlink(missing_ok=True)
    return said


def _is_shared(device: Path, copy: Path) -> bool:
    """Say whether a copy of a file takes no room until it is changed, by making one and removing it (ioctl_ficlone(2))."""
    try:
        with device.open("rb") as source, copy.open("xb") as target:
            fcntl.ioctl(target, _FICLONE, source.fileno())
    except OSError:
        return False
    finally:
        copy.unlink(missing_ok=True)
    return True


def _live_bytes(device: Path) -> int:
    """Say how much the live system of a device takes, as files elsewhere. Raises BadInput for what is no device of ours."""
    try:
        with device.open("rb") as file:
            sizes = [one.size for one in Fat(file, _OFFSET).files()]
    except BadInput as error:
        raise BadInput(
            f"{device} is no USB image of ours: {error.message}", hint="give a file that was made from IMAGE.usb.img"
        ) from error
    return sum(-(-size // _BLOCK_BYTES) * _BLOCK_BYTES for size in sizes)


def _new_bytes(kit: Path) -> int:
    """Say how much the new files of a kit take: what its `apply` wants to find beside the old ones."""
    try:
        with tarfile.open(kit, "r:") as tar:
            script = tar.extractfile("kit/apply")
            found = _ROOM.search(script.read(_SCRIPT_BYTES)) if script is not None else None
    except (tarfile.TarError, KeyError) as error:
        raise _no_kit(kit) from error
    if found is None:
        raise _no_kit(kit)
    return int(found[1]) << 10


def _no_kit(kit: Path) -> BadInput:
    return BadInput(f"{kit} is no upgrade kit", hint="fetch it again")


def _unpack(kit: Path, folder: Path) -> None:
    argv = ("tar", "--extract", "--no-same-owner", "--directory", str(folder), "--file", str(kit.absolute()))
    ended = _run(argv)
    if ended.exit_code or not (folder / "kit" / "apply").is_file():
        raise _full(ended) or _no_kit(kit)


def _take_out(device: Path, folder: Path) -> None:
    folder.mkdir()
    _checked(("mcopy", "-s", "-n", "-Q", "-m", "-i", f"{device}@@{_OFFSET}", "::*", f"{folder}/"))


def _apply(kit: Path, live: Path, folder: Path) -> str:
    ended = run(Command((str(kit / "apply"), str(live)), _TIMEOUT_S, {"TMPDIR": str(folder)}))
    if ended.exit_code == _NO_ROOM:
        raise OutOfSpace(
            last_lines(ended.stderr, 1)[0], hint="free some space there; a stick has it from its upgrade_mb on"
        )
    if ended.exit_code or ended.cut:
        reason = " | ".join(quoted(line) for line in last_lines(ended.stderr or ended.stdout, 3)) or ended.cut
        raise Refused(f"the kit cannot be applied: {reason}", hint="distwright image list names the kits of each image")
    return last_lines(ended.stdout, 1)[0]


def _put_back(kit: Path, live: Path, copy: Path) -> None:
    """Remove what is old first: the live partition has no room for two systems."""
    image = ("-i", f"{copy}@@{_OFFSET}")
    new = [line.partition("  ")[2] for line in (kit / "new").read_text().splitlines()]
    gone = (kit / "gone").read_text().splitlines()
    folders = sorted({f"::/{parent}" for path in new for parent in Path(path).parents if str(parent) != "."})
    for path in (*new, *gone):
        _run(("mdel", *image, f"::/{path}"))  # a new file has nothing to remove
    for name in folders:
        _run(("mmd", "-D", "s", *image, name))
    for path in new:
        ended = _run(("mcopy", "-Q", "-o", *image, str(live / path), f"::/{path}"))
        if ended.exit_code and b"isk full" in ended.stderr:
            raise OutOfSpace(
                f"the live partition of {copy.name[1:-4]} is too small for {path}",
                hint="write the new image onto the device instead; what it keeps must be saved before",
            )
        _check(ended)


def _compare(kit: Path, copy: Path, folder: Path) -> None:
    """Read all of it again."""
    _take_out(copy, folder)
    ended = run(Command(("sha256sum", "--quiet", "-c", str(kit / "after")), _TIMEOUT_S, cwd=folder))
    if ended.exit_code:
        raise WorkFailed("what was written to the copy is not what was to be written", hint="check the disk")


def _run(argv: tuple[str, ...]) -> Finished:
    return run(Command(argv, _TIMEOUT_S, _MTOOLS))


def _checked(argv: tuple[str, ...]) -> None:
    _check(_run(argv))


def _check(ended: Finished) -> None:
    if full := _full(ended):
        raise full
    ended.checked()


def _full(ended: Finished) -> OutOfSpace | None:
    """Say that a disk was full, if that is what a program ended with: somebody else took what was free before."""
    if not ended.exit_code or b"No space left on device" not in ended.stderr:
        return None
    return OutOfSpace(
        f"no space left: {quoted(last_lines(ended.stderr, 1)[0])}: nothing was changed",
        hint="free some space, then run the same command again",
    )
