"""aptly: what its database says, asked of itself, with a configuration and a copy of its database that are ours."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from distwright.errors import BadInput, quoted
from distwright.model.digests import Json
from distwright.tools.run import Command, run

FIELDS = (
    "Package", "Version", "Architecture", "Section", "Priority", "Filename", "Size", "MD5sum", "SHA256",
    "Checksums-Sha256", "Files",
)  # fmt: skip
_RECORD, _UNIT = "\x1e", "\x1f"
# Asked for by `index`, for a name with a hyphen is no Go name; `with` leaves empty what a package does not have (text/template).
_FORMAT = _RECORD + _UNIT.join(f'{{{{with index . "{name}"}}}}{{{{.}}}}{{{{end}}}}' for name in FIELDS)
_TIMEOUT_S = 3600
_OUTPUT_LIMIT_BYTES = 1 << 30


def read_json(config: Path, *words: str) -> Json:
    """Run a command of aptly that answers in JSON (`repo list -json`)."""
    answer: Json = json.loads(_run(config, *words))
    return answer


def list_packages(config: Path, kind: str, name: str) -> Iterator[Sequence[str]]:
    """Give FIELDS of each package, "" for what it does not have. kind: repo or snapshot."""
    output = _run(config, kind, "search", f"-format={_FORMAT}", "--", name)
    at = 1
    while 0 < at < len(output):
        end = output.find(_RECORD.encode(), at)
        row = output[at : end if end >= 0 else None].decode(errors="replace").removesuffix("\n").split(_UNIT)
        if len(row) != len(FIELDS):
            raise BadInput(
                f"aptly lists {quoted(row[0])} in another way", hint="distwright archive import ARCHIVE tree PATH"
            )
        yield row
        at = end + 1


def _run(config: Path, *words: str) -> bytes:
    argv = ("aptly", f"-config={config}", *words)
    return run(Command(argv, timeout_s=_TIMEOUT_S, output_limit_bytes=_OUTPUT_LIMIT_BYTES)).checked().stdout
