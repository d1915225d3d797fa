"""Debian version numbers: their syntax, their parts, and dpkg's order as bytes that sort with memcmp."""

import re
from typing import NoReturn, Self

from distwright.errors import BadInput, quoted

# Colons only after an epoch, hyphens only before a revision. dpkg merely warns when a version begins with a letter, so
# that is let in; other signs are not, because such a version reads as an option or an odd file name.
_VERSION = re.compile(r"(?:[0-9]{1,10}:[A-Za-z0-9][A-Za-z0-9.+~:-]*+|[A-Za-z0-9][A-Za-z0-9.+~-]*+)(?<!-)")
_PART = re.compile(rb"([^0-9]*)([0-9]*)")

_EPOCH_LIMIT = 2**31  # dpkg keeps it in an int and refuses more

# The signs of a sort key: '~' comes before the end of a part, the end before letters, letters before all other signs.
_END = b"\x02"
_SIGNS = bytes.maketrans(b"~+-.:", bytes((0x01, 0x80 | 0x2B, 0x80 | 0x2D, 0x80 | 0x2E, 0x80 | 0x3A)))

_NO_ORDER = "Debian versions have no order as text: sort by DebVersion.sort_key, or call compare()"


class DebVersion(str):
    """A version of a Debian package: `[epoch:]upstream[-revision]`; anything else cannot be made into one.

    Equality and hash are those of the text, because the text is what file names, indexes and digests carry: "1.0" and
    "1.0-0" are two versions of which neither is later. Their order is dpkg's, `sort_key()` or `compare()`. The signs
    < <= > >= are refused: by text they would put 1.10 before 1.9, by dpkg's order they would disagree with == and would
    change the order of keys in canonical JSON.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Raise BadInput unless `text` has the syntax of deb-version(7), with an epoch below 2**31 as in dpkg."""
        self = super().__new__(cls, text)
        if not _VERSION.fullmatch(text) or ":" in self.revision or self.epoch >= _EPOCH_LIMIT:
            raise BadInput(
                f"{quoted(text)} is not a Debian version",
                hint="write [epoch:]upstream[-revision] with letters, digits and . + ~ only (deb-version(7))",
            )
        return self

    @property
    def epoch(self) -> int:
        """The number before the first colon, 0 without one."""
        epoch, colon, _ = self.partition(":")
        return int(epoch) if colon else 0

    @property
    def without_epoch(self) -> str:
        """What follows the epoch: the form that stands in file names (Debian Policy 5.6.12)."""
        head, colon, rest = self.partition(":")
        return rest if colon else head

    @property
    def upstream(self) -> str:
        """The part between the epoch and the last hyphen."""
        rest = self.without_epoch
        head, hyphen, _ = rest.rpartition("-")
        return head if hyphen else rest

    @property
    def revision(self) -> str:
        """The part after the last hyphen; empty for a native package. dpkg compares that as "0"."""
        _, hyphen, tail = self.without_epoch.rpartition("-")
        return tail if hyphen else ""

    def sort_key(self) -> bytes:
        """Give bytes whose order (memcmp, then length) is dpkg's order of versions; equal where dpkg says equal.

        About as long as the version; a database may keep and compare it. Linear, for digit runs of any length.
        Source: deb-version(7), "Sorting algorithm"; dpkg's lib/dpkg/version.c.
        """
        return _number(b"%d" % self.epoch) + _part(self.upstream) + _part(self.revision)

    def __lt__(self, other: object) -> NoReturn:
        """Refuse: see the class."""
        raise TypeError(_NO_ORDER)

    def __le__(self, other: object) -> NoReturn:
        """Refuse: see the class."""
        raise TypeError(_NO_ORDER)

    def __gt__(self, other: object) -> NoReturn:
        """Refuse: see the class."""
        raise TypeError(_NO_ORDER)

    def __ge__(self, other: object) -> NoReturn:
        """Refuse: see the class."""
        raise TypeError(_NO_ORDER)


def compare(a: DebVersion, b: DebVersion) -> int:
    """Say -1, 0 or 1 as `a` is earlier than, as good as, or later than `b` (dpkg --compare-versions)."""
    mine, theirs = a.sort_key(), b.sort_key()
    return (mine > theirs) - (mine < theirs)


def _part(text: str) -> bytes:
    """Encode an upstream version or a revision so that no encoding is the beginning of another.

    A part is pairs of signs (possibly none, in the first pair only) and a number (0 if there is none); what follows the
    last number is the end of the part, which every letter beats and '~' does not.
    """
    pairs = _PART.findall(text.encode())
    if len(pairs) > 1:
        pairs.pop()  # the pattern's last match is always empty
    return b"".join([signs.translate(_SIGNS) + _END + _number(digits) for signs, digits in pairs]) + _END


def _number(digits: bytes) -> bytes:
    """Encode a run of digits of any length: how many significant ones, in base 255 as a tally, then themselves."""
    significant = digits.lstrip(b"0")
    tally, rest = divmod(len(significant), 255)
    return b"\xff" * tally + bytes((rest,)) + significant
