"""Paths and file names that come from outside: whatever passes here cannot leave the folder it is joined to."""

import re

from distwright.errors import BadInput, quoted

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_~,-]{0,254}")
_PATH_BYTES = 4096
_NAME_BYTES = 255
POOL_NAME_BYTES = 200

# A component no file system could hold or that means something else than its letters.
_SPECIAL = frozenset({"", ".", ".."})


def safe_path(text: str) -> str:
    """Return a relative path from an index, without a leading `./` (flat archives write one).

    Raises BadInput for an absolute path, for `.`, `..` and empty components, for backslashes and signs that cannot be
    printed (control, bidirectional, lone surrogates), and for more than 4,096 bytes or 255 in one component.
    """
    path = text.removeprefix("./")
    if not path.isprintable() or "\\" in path:
        raise BadInput(f"the path {quoted(text)} has signs that no path here may have", hint="rename the file")
    components = path.split("/")
    if not _SPECIAL.isdisjoint(components):
        raise BadInput(f"{quoted(text)} is not a plain relative path", hint="write it like pool/main/h/hello/hello.dsc")
    if len(path.encode()) > _PATH_BYTES or any(len(name.encode()) > _NAME_BYTES for name in components):
        raise BadInput(f"the path {quoted(text)} is too long", hint="use 4,096 bytes in all, 255 between two slashes")
    return path


def pool_file_name(text: str) -> str:
    """Return the name of a file that the pool is to have: 200 bytes at most; raise BadInput for a longer one.

    File systems end at 255, and who fetches a file, apt or a mirror, puts something of its own before or behind its name.
    """
    if len(text.encode()) > POOL_NAME_BYTES:
        raise BadInput(
            f"its file in the pool, {quoted(text)}, would have a name of {len(text.encode())} bytes",
            hint=f"give it a shorter version or name: {POOL_NAME_BYTES} bytes is the most",
        )
    return text


def safe_file_name(text: str) -> str:
    """Return the name of a file of an upload: letters, digits and . + _ ~ , - after a letter or digit, 255 at most.

    No slash, no leading dot, no blank, and no colon, which rsync and scp would read as a host. Raises BadInput.
    """
    if not _FILE_NAME.fullmatch(text):
        raise BadInput(
            f"{quoted(text)} cannot be the name of an uploaded file", hint="use letters, digits and . + _ ~ , - only"
        )
    return text
