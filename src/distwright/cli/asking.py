"""Ask the resident server (cli/resident.py) to run a command. Loaded only where there seems to be one: every import counts.

A command runs once: here, unless the server has said that it begins; from then on nowhere else, whatever becomes of the server.
"""

import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence

from distwright.cli.resident_terms import BEGUN, INTERRUPT, REFUSED, VERSION

_BUG = 70


def ask(folder: str, words: Sequence[str]) -> int | None:
    """Have the server run a command with our files, folder and environment; give its exit code, None if it surely does not."""
    request = {
        "version": VERSION,
        "words": list(words),
        "folder": os.getcwd(),  # noqa: PTH109  # pathlib costs 5 ms here
        "umask": _umask(),
        "environment": dict(os.environ),
    }
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
        before = signal.getsignal(signal.SIGINT)
        directory = os.open(os.path.join(folder, "run"), os.O_PATH)  # noqa: PTH118  # as above
        try:
            # A path of a socket has 107 bytes at most; that of a state directory may be longer.
            link.connect(f"/proc/self/fd/{directory}/command.sock")
            # Once it is asked, Ctrl-C is the command's, which ends as it would here and says how; neither before nor twice.
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
            socket.send_fds(link, [json.dumps(request).encode()], [0, 1, 2])
            if before is not signal.SIG_IGN:
                signal.signal(signal.SIGINT, lambda *_: _interrupt(link))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
            return _outcome(link)
        except OSError:  # nobody listens there any more, or the request is too large for it
            return None
        finally:
            signal.signal(signal.SIGINT, before)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
            os.close(directory)


def _outcome(link: socket.socket) -> int | None:
    """Wait for the exit code; None if the server has not begun, or says that it could not after all."""
    answer = _heard(link)
    if is_begun := answer == BEGUN:
        answer = _heard(link)
    if answer.isdigit():
        return int(answer)
    if answer == REFUSED or not is_begun:
        return None
    sys.stderr.write(
        "distwright: the server ended while it ran this; the command may have done its work\n"
        "  try: look what it did (distwright suite history SUITE, distwright job list) before you type it again\n"
    )
    return _BUG


def _heard(link: socket.socket) -> bytes:
    """Wait for a message; nothing: the server is gone, and the command with it."""
    for _ in range(2):
        try:
            return link.recv(64)
        except ConnectionResetError:  # it left something unread; what it said before comes after this error
            continue
        except OSError:
            break
    return b""


def _interrupt(link: socket.socket) -> None:
    """Pass Ctrl-C on; if nobody is there any more, whoever waits for the answer is about to learn it."""
    with contextlib.suppress(OSError):
        link.send(INTERRUPT, socket.MSG_DONTWAIT)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
