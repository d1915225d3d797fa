"""Pins: which serial of an archive a branch uses, as files of its git tree say it. Pure: who reads and commits them is elsewhere.

`config/APT_snapshots.d/ARCHIVE/serial` is one line: `latest`, or a serial. The word is never overloaded: a frozen branch names a
serial, even if it is the newest one.
"""

from collections.abc import Collection, Mapping
from enum import StrEnum
from fnmatch import fnmatchcase

from distwright.errors import BadInput, Refused, listed, quoted
from distwright.model.names import our_name
from distwright.model.serials import Serial

FOLDER = "config/APT_snapshots.d"
LATEST = "latest"
_FILE = "serial"
_SHOWN = 20  # characters of what is no pin: it may be anything, a secret too

Pins = Mapping[str, Serial | None]
"""Archive -> the serial that it is frozen at, None for the newest."""


class Freedom(StrEnum):
    """What a branch may be: `thawed` follows every archive (where work goes on), `frozen` follows none but those excepted."""

    THAWED = "thawed"
    FROZEN = "frozen"
    ANY = "any"


def pin_path(archive: str) -> str:
    """Say where a branch keeps the pin of an archive."""
    return f"{FOLDER}/{archive}/{_FILE}"


def parse_pin(content: bytes, what: str) -> Serial | None:
    """Read one file: a serial, or None for `latest`. what: names it in messages. Raises BadInput for anything else."""
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError:
        text = "?"
    line = text.removesuffix("\n")
    if line == LATEST:
        return None
    try:
        return Serial(line)
    except BadInput:
        raise BadInput(
            f"{what} says {quoted(text, _SHOWN)}, neither {LATEST} nor a serial",
            hint=f"write one line: {LATEST}, or YYYYMMDDNN",
        ) from None


def write_pin(serial: Serial | None) -> bytes:
    """Write one file."""
    return f"{LATEST if serial is None else serial}\n".encode()


def parse_pins(files: Mapping[str, bytes], archives: Collection[str]) -> dict[str, Serial | None]:
    """Read all pins of a tree. files: path -> content of everything below FOLDER. archives: those that exist.

    An archive without a file is not pinned: it is not in the answer, and means the newest. Raises BadInput with every problem:
    a file that is no pin, an archive that does not exist, a pin that says neither.
    """
    pins: dict[str, Serial | None] = {}
    problems: list[str] = []
    for path, content in sorted(files.items()):
        archive = path.removeprefix(f"{FOLDER}/").removesuffix(f"/{_FILE}")
        if path != pin_path(archive) or "/" in archive:
            problems.append(f"{quoted(path)} is no pin")
        elif archive not in archives:
            problems.append(f"{quoted(path)}: there is no archive {quoted(archive)}")
        else:
            try:
                pins[archive] = parse_pin(content, path)
            except BadInput as error:
                problems.append(error.message)
    if problems:
        raise BadInput(
            f"these pins are wrong:\n{listed(problems)}",
            hint=f"write {pin_path('ARCHIVE')} with one line: {LATEST}, or a serial",
        )
    return pins


def write_pins(pins: Pins) -> dict[str, bytes]:
    """Give the files of pins, path -> content."""
    return {pin_path(our_name(archive, "archive")): write_pin(serial) for archive, serial in sorted(pins.items())}


def freeze(
    pins: Pins, newest: Mapping[str, Serial], *, stay_latest: Collection[str] = (), at: Pins | None = None
) -> dict[str, Serial | None]:
    """Set the pin of every archive that is not frozen yet to its newest serial.

    newest: archive -> serial to freeze at. stay_latest: archives that follow upstream on a frozen branch too: those of security
    updates, unless a person decides otherwise. What is frozen stays where it is; to move on, thaw first. at: archives that a
    person names a serial for, which counts whatever else is said.
    """
    frozen = {archive: pins.get(archive) or serial for archive, serial in newest.items()}
    loose = {archive: pins.get(archive) for archive in stay_latest if archive in newest or archive in pins}
    return {**pins, **frozen, **loose, **(at or {})}


def thaw(pins: Pins) -> dict[str, Serial | None]:
    """Let every archive be the newest again."""
    return dict.fromkeys(pins)


def freedom_of(branch: str, frozen: Collection[str], thawed: Collection[str]) -> Freedom:
    """Say what a branch may be. frozen, thawed: names, or patterns; a name counts before any pattern, and frozen before thawed."""
    for matches in (str.__eq__, fnmatchcase):
        if any(matches(branch, pattern) for pattern in frozen):
            return Freedom.FROZEN
        if any(matches(branch, pattern) for pattern in thawed):
            return Freedom.THAWED
    return Freedom.ANY


def check_pins(pins: Pins, branch: str, freedom: Freedom, *, stay_latest: Collection[str] = ()) -> None:
    """Refuse a state that a branch must not be in: a frozen one where work goes on, an unfrozen one that users rely on.

    stay_latest: archives that may follow upstream on a frozen branch. Raises Refused, naming every archive.
    """
    frozen = [f"{archive} is frozen at {serial}" for archive, serial in sorted(pins.items()) if serial is not None]
    loose = [
        f"{archive} is {LATEST}"
        for archive, serial in sorted(pins.items())
        if serial is None and archive not in stay_latest
    ]
    if freedom is Freedom.THAWED and frozen:
        raise Refused(
            f"branch {branch} must not be frozen:\n{listed(frozen)}", hint=f"write {LATEST} into {pin_path('ARCHIVE')}"
        )
    if freedom is Freedom.FROZEN and loose:
        raise Refused(
            f"branch {branch} must be frozen:\n{listed(loose)}", hint=f"write a serial into {pin_path('ARCHIVE')}"
        )
