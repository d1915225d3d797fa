"""One tree of errors. Each has a message that names the thing, a hint that can be typed, and the exit code of its cause."""

import errno
from collections.abc import Iterable, Mapping, Sequence


class DistwrightError(Exception):
    """Root of all errors that a person is meant to read.

    The message says what happened to what; `hint` is a command or an edit that helps. Text from outside must be
    quoted and cut by the caller (see `quoted`).
    """

    exit_code = 70

    def __init__(self, message: str, *, hint: str) -> None:
        """Keep both halves; neither may be empty."""
        super().__init__(message)
        self.message = message
        self.hint = hint


class WorkFailed(DistwrightError):
    """The work itself says no: a package does not build, an image does not boot."""

    exit_code = 1


class BadUsage(DistwrightError):
    """What was typed, or a file that was named, is not usable."""

    exit_code = 2


class BadConfig(BadUsage):
    """The configuration has problems; all of them are listed in the message, one a line.

    problems: the same for machines: file, line, key, problem, want of each.
    """

    def __init__(self, message: str, *, hint: str, problems: Sequence[Mapping[str, str | int]] = ()) -> None:
        """Keep the parts."""
        super().__init__(message, hint=hint)
        self.problems = tuple(problems)


class BadInput(DistwrightError):
    """Bytes from outside are not what their format says."""

    exit_code = 2


class Refused(DistwrightError):
    """A rule forbids it: a signature, a hash, an expiry, an access rule."""

    exit_code = 3


class NotFound(DistwrightError):
    """Nothing of that name exists here."""

    exit_code = 10


class Lost(NotFound):
    """Something that was kept here, and must be, is gone: our fault, whoever asks for it."""


class Rotten(Lost):
    """Something that was kept here has other bytes by now: nothing new is made of it."""


class Busy(DistwrightError):
    """Somebody else holds what this needs."""

    exit_code = 11


class DatabaseLost(Busy):
    """The server of the database cannot be reached, or has gone away; it may come back."""


class LeaseLost(Busy):
    """The job is another attempt's by now, or done; this one must write nothing more."""


class NotAllowed(DistwrightError):
    """This user may not do that."""

    exit_code = 12


class ProgramFailed(DistwrightError):
    """An outside program is missing, failed, or ran over its limits."""

    exit_code = 20


class Unreachable(DistwrightError):
    """A server outside did not answer, or not with what was asked."""

    exit_code = 20


class OutOfSpace(DistwrightError):
    """The disk is full; nothing was changed."""

    exit_code = 20


class DiskFailed(DistwrightError):
    """The disk cannot be read or written; nothing was changed."""

    exit_code = 20


class Interrupted(DistwrightError):
    """Somebody pressed Ctrl-C or cancelled the job."""

    exit_code = 130


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FAILED = frozenset({errno.EIO, errno.EROFS, errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.EUCLEAN})


def disk_error(error: OSError, place: str) -> OutOfSpace | DiskFailed | None:
    """Say what the disk has against it, if that is what an error of the system says. place: what was to be read or written."""
    if error.errno in _FULL:
        return OutOfSpace(
            f"no space left below {place}",
            hint=f"free some space (df -h {place}; df -i {place}), then run the same command again",
        )
    if error.errno in _FAILED:
        what = quoted(str(error.filename)) if error.filename else place
        return DiskFailed(
            f"the disk does not work: {error.strerror}: {what}",
            hint="look at what the kernel says of it (dmesg), then run the same command again",
        )
    return None


def quoted(text: str, limit: int = 120) -> str:
    """Make text from outside safe to print: one line, printable, cut at `limit` characters, in quotes."""
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    return "'" + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown) + "'"


def visible(text: str) -> str:
    r"""Write out what a text has that is not seen, or turns the direction of writing (U+202E): as `\u202e`; lines stay lines.

    For lists and pages, where quotes and cuts would be in the way. Source: Trojan Source, CVE-2021-42574.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


def listed(problems: Iterable[str]) -> str:
    """Join several problems into one message, a line each."""
    return "\n".join(f"  {problem}" for problem in problems)
