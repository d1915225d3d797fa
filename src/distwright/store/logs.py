"""Logs that come in pieces from other machines: each piece says where it belongs, and nothing is ever written twice."""

import fcntl
import os
from pathlib import Path

from distwright.errors import Refused, disk_error

LOG_LIMIT_BYTES = 4 << 30


def append_log(path: Path, offset: int, content: bytes) -> int:
    """Append what of a piece is not there yet; give how long the log is now.

    A piece that begins behind its end is not taken: whoever sent it sees by the answer from where on to send. Raises OutOfSpace,
    with what there was room for written; Refused for a log without an end.
    """
    if offset + len(content) > LOG_LIMIT_BYTES:
        raise Refused(f"{path.name} has more than {LOG_LIMIT_BYTES} bytes", hint="look at what the job prints")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        with os.fdopen(descriptor, "ab", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            size = os.fstat(file.fileno()).st_size
            left = memoryview(content)[size - offset :] if offset <= size else memoryview(b"")
            while left:
                left = left[file.write(left) :]
            return os.fstat(file.fileno()).st_size
    except OSError as error:
        named = disk_error(error, str(path.parent))
        if named is None:
            raise
        raise named from error


def log_size(path: Path) -> int:
    """Say how long a log is; 0 if there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
