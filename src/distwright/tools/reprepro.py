"""reprepro: what its database says, asked of itself, with a configuration and a copy of its database that are ours."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from distwright.errors import BadInput, quoted
from distwright.tools.run import Command, run

FIELDS = (
    "$component", "$filekey", "package", "version", "architecture", "section", "priority", "size", "sha256", "checksums-sha256",
)  # fmt: skip
_RECORD, _UNIT = "\x1e", "\x1f"
_FORMAT = _RECORD + _UNIT.join(f"${{{name}}}" for name in FIELDS)
_TIMEOUT_S = 3600
_OUTPUT_LIMIT_BYTES = 1 << 30


def list_packages(confdir: Path, dbdir: Path, codename: str, kind: str) -> Iterator[Sequence[str]]:
    """Give FIELDS of each package of a distribution, "" for what it does not have. kind: deb, udeb or dsc.

    confdir needs no more than a file `distributions`: reprepro reads options, hooks and overrides of nobody then.
    """
    argv = (
        "reprepro", "--basedir", str(dbdir.parent), "--confdir", str(confdir), "--dbdir", str(dbdir),
        "--ignore=undefinedtarget", "--type", kind, "--list-format", _FORMAT, "list", codename,
    )  # fmt: skip
    ran = run(Command(argv, timeout_s=_TIMEOUT_S, output_limit_bytes=_OUTPUT_LIMIT_BYTES)).checked()
    at = 1
    while 0 < at < len(ran.stdout):
        end = ran.stdout.find(_RECORD.encode(), at)
        row = ran.stdout[at : end if end >= 0 else None].decode(errors="replace").split(_UNIT)
        if len(row) != len(FIELDS):
            raise BadInput(
                f"reprepro lists {quoted(row[0])} in another way", hint="distwright archive import ARCHIVE tree PATH"
            )
        yield row
        at = end + 1
