"""The text inside a clearsigned OpenPGP message (RFC 9580, section 7)."""

import re

from distwright.errors import BadInput, quoted

_BEGIN_MESSAGE = b"-----BEGIN PGP SIGNED MESSAGE-----"
_BEGIN_SIGNATURE = b"-----BEGIN PGP SIGNATURE-----"
_END_SIGNATURE = b"-----END PGP SIGNATURE-----"
_HASH_HEADER = re.compile(rb"Hash: [A-Za-z0-9, -]+")
_SIGNATURE_HEADER = re.compile(rb"[A-Za-z]+: [ -~]*")
_SIGNATURE_DATA = re.compile(rb"[A-Za-z0-9+/]*={0,4}[A-Za-z0-9+/]*")
_WHITE = b" \t\r"
_HINT = "sign the file again with one clearsigned signature, and send nothing else in it"


def is_clearsigned(data: bytes) -> bool:
    """Say whether `data` begins like a clearsigned message; it may still be a bad one."""
    return data.startswith(_BEGIN_MESSAGE)


def without_armour(data: bytes) -> bytes:
    """Give the text of what may be clearsigned; nobody looks at the signature.

    Raises BadInput as `strip_clearsign` does.
    """
    return strip_clearsign(data) if is_clearsigned(data) else data


def strip_clearsign(data: bytes) -> bytes:
    """Give the text of one clearsigned message. THE SIGNATURE IS NOT VERIFIED: FOR DISPLAY, OR AFTER VERIFICATION ONLY.

    Lines end in LF and lose the white space at their ends, since the signature does not cover it: the answer depends on
    signed bytes only. Dash-escaping is undone. Raises BadInput for anything before or after the message (but empty
    lines after it), a second message, armour headers other than Hash, and a line that begins with an unescaped dash.
    """
    lines = [line.rstrip(_WHITE) for line in data.split(b"\n")]
    if lines[0] != _BEGIN_MESSAGE:
        raise BadInput(f"a clearsigned message does not begin with {_shown(lines[0])}", hint=_HINT)
    start = _after_headers(lines, 1, _HASH_HEADER)
    if _BEGIN_SIGNATURE not in lines[start:]:
        raise BadInput("a clearsigned message ends before its signature", hint=_HINT)
    end = lines.index(_BEGIN_SIGNATURE, start)
    _check_signature(lines, end + 1)
    return b"".join([_unescaped(line) + b"\n" for line in lines[start:end]])


def _after_headers(lines: list[bytes], at: int, header: re.Pattern[bytes]) -> int:
    while at < len(lines) and lines[at]:
        if not header.fullmatch(lines[at]):
            raise BadInput(f"{_shown(lines[at])} is no header that this armour may have", hint=_HINT)
        at += 1
    return at + 1


def _check_signature(lines: list[bytes], at: int) -> None:
    at = _after_headers(lines, at, _SIGNATURE_HEADER)
    while at < len(lines) and lines[at] != _END_SIGNATURE:
        if not _SIGNATURE_DATA.fullmatch(lines[at]):
            raise BadInput(f"{_shown(lines[at])} is not part of a signature", hint=_HINT)
        at += 1
    if at >= len(lines):
        raise BadInput("a clearsigned message ends within its signature", hint=_HINT)
    beyond = [line for line in lines[at + 1 :] if line]
    if beyond:
        raise BadInput(f"a clearsigned message is followed by {_shown(beyond[0])}", hint=_HINT)


def _unescaped(line: bytes) -> bytes:
    if not line.startswith(b"-"):
        return line
    if line == b"-":  # an escaped empty line: its blank went with the white space
        return b""
    if not line.startswith(b"- "):
        raise BadInput(f"the line {_shown(line)} begins with a dash that is not escaped", hint=_HINT)
    return line[2:]


def _shown(line: bytes) -> str:
    return quoted(line.decode("utf-8", "backslashreplace"))
