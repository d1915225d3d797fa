"""Apply an upgrade kit to a folder where the live partition of a device is mounted, or to the image of a device, as a file.

The kit's own `apply` works on a folder and can be cut off at any time. For a file, the folder is a copy of its live partition, and
what comes out is written into a copy of the file, which takes its place when it is whole.
"""

import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from distwright.errors import BadInput, Busy, OutOfSpace, Refused, WorkFailed, quoted
from distwright.images.usb import ESP_SECTOR
from distwright.store.settle import settle_folders
from distwright.tools.run import Command, Finished, last_lines, run

_OFFSET = ESP_SECTOR * 512
_FAT_TYPE = slice(82, 90)  # of its first sector, fatgen103
_TIMEOUT_S = 4 * 3600
_MTOOLS = {"MTOOLS_SKIP_CHECK": "1", "MTOOLSRC": "/dev/null"}


def apply_kit(kit: Path, device: Path) -> str:
    """Make a device what the kit says; give the kit's last word. kit: verified before, its programs are run.

    device: a folder, or a file. Killed at any time, it starts as the old system or as the new one. A file wants as much space
    beside it as it has, and as both live systems in the folder for temporary files; a copy that is left over is replaced the
    next time. Raises Busy if another one upgrades the same file, BadInput for what is no device of ours, Refused where the kit
    says that it is not for it, OutOfSpace if the live partition of a file is too small.
    """
    if device.is_dir():
        with tempfile.TemporaryDirectory(prefix="distwright-kit-") as folder:
            _unpack(kit, Path(folder))
            return _apply(Path(folder, "kit"), device, Path(folder))
    _check_device(device)
    with _alone(device):
        return _apply_to_file(kit, device)


@contextlib.contextmanager
def _alone(device: Path) -> Iterator[None]:
    """Keep others from upgrading the same file. Raises Busy."""
    with device.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"{device} is being upgraded already", hint="try again when that is done") from None
        yield


def _apply_to_file(kit: Path, device: Path) -> str:
    copy = device.with_name(f".{device.name}.new")
    with tempfile.TemporaryDirectory(prefix="distwright-kit-") as folder:
        live, unpacked = Path(folder, "live"), Path(folder, "kit")
        _unpack(kit, Path(folder))
        _take_out(device, live)
        said = _apply(unpacked, live, Path(folder))
        copy.unlink(missing_ok=True)  # of a run that was killed: we are alone
        try:
            copy.touch(exist_ok=False)  # never what somebody else has put there: O_EXCL follows no link
            _checked(("cp", "--reflink=auto", "--sparse=always", "--", str(device), str(copy)))
            _put_back(unpacked, live, copy)
            _compare(unpacked, copy, Path(folder, "again"))
            _checked(("sync", "--", str(copy)))
            shutil.copystat(device, copy)
            copy.replace(device)
        finally:
            copy.unlink(missing_ok=True)
        settle_folders({device.absolute().parent})
    return said


def _check_device(device: Path) -> None:
    if not device.is_file():
        raise BadInput(
            f"{device} is neither a file nor a folder",
            hint="mount the live partition of a real device and give that folder",
        )
    with device.open("rb") as file:
        file.seek(_OFFSET)
        if file.read(512)[_FAT_TYPE].rstrip() != b"FAT32":
            raise BadInput(f"{device} is no USB image of ours", hint="give a file that was made from IMAGE.usb.img")


def _unpack(kit: Path, folder: Path) -> None:
    argv = ("tar", "--extract", "--no-same-owner", "--directory", str(folder), "--file", str(kit.absolute()))
    if _run(argv).exit_code or not (folder / "kit" / "apply").is_file():
        raise BadInput(f"{kit} is no upgrade kit", hint="fetch it again")


def _take_out(device: Path, folder: Path) -> None:
    folder.mkdir()
    _checked(("mcopy", "-s", "-n", "-Q", "-m", "-i", f"{device}@@{_OFFSET}", "::*", f"{folder}/"))


def _apply(kit: Path, live: Path, folder: Path) -> str:
    ended = run(Command((str(kit / "apply"), str(live)), _TIMEOUT_S, {"TMPDIR": str(folder)}))
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
        ended.checked()


def _compare(kit: Path, copy: Path, folder: Path) -> None:
    """Read all of it again."""
    _take_out(copy, folder)
    ended = run(Command(("sha256sum", "--quiet", "-c", str(kit / "after")), _TIMEOUT_S, cwd=folder))
    if ended.exit_code:
        raise WorkFailed("what was written to the copy is not what was to be written", hint="check the disk")


def _run(argv: tuple[str, ...]) -> Finished:
    return run(Command(argv, _TIMEOUT_S, _MTOOLS))


def _checked(argv: tuple[str, ...]) -> None:
    _run(argv).checked()
