"""The first thing that runs: hand a command to the resident server if there is one (cli/resident.py), else run it here.

Starting the interpreter with everything that a command needs takes half a second of CPU; a server that has it all loaded answers
in a few hundredths. Only what is needed to ask is imported here.
"""

import os
import sys
from collections.abc import Mapping, Sequence

SOCKET = "run/command.sock"
ROOT_STATE = "/var/lib/distwright"
# What runs long, or starts a server, or makes an installation, runs in a process of its own.
AT_HOME = frozenset({"serve", "worker", "demo", "doctor", "config"})
AT_HOME_VERBS = frozenset({"record", "build", "import"})
_PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "TERM", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "COLORTERM")


def main() -> None:
    """Run the command line."""
    words = sys.argv[1:]
    folder = state_of(words, os.environ, os.geteuid())
    if folder is not None and words and not words[0].startswith("-") and _is_short(words):
        place = os.path.join(folder, SOCKET)  # noqa: PTH118  # pathlib costs 5 ms here
        if os.path.exists(place):  # noqa: PTH110  # as above
            code = _ask(folder, words)
            if code is not None:
                sys.exit(code)
    from distwright.cli.main import main as run

    run()


def _is_short(words: Sequence[str]) -> bool:
    return words[0] not in AT_HOME and not (len(words) > 1 and words[1] in AT_HOME_VERBS)


def state_of(words: Sequence[str], environment: Mapping[str, str], uid: int) -> str | None:
    """Say which state directory a command line means, as app.state_folder does; None if it does not say it clearly."""
    given = environment.get("DISTWRIGHT_STATE")
    for number, word in enumerate(words):
        if word == "--":
            break
        if word == "--state":
            given = words[number + 1] if number + 1 < len(words) else ""
        elif word.startswith("--state="):
            given = word.removeprefix("--state=")
    if given is None:
        return ROOT_STATE if uid == 0 else "state"
    return given or None


def _ask(folder: str, words: Sequence[str]) -> int | None:
    """Have the server run a command with our files, folder and environment; give its exit code, None if it does not want to."""
    import json
    import signal
    import socket

    from distwright.cli.resident_version import VERSION

    request = {
        "version": VERSION,
        "words": list(words),
        "folder": os.getcwd(),  # noqa: PTH109  # pathlib costs 5 ms here
        "umask": _umask(),
        "environment": {
            name: value
            for name, value in os.environ.items()
            if name in _PASSED_ON or name.startswith(("DISTWRIGHT_", "LC_", "LANG"))
        },
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
                signal.signal(signal.SIGINT, lambda *_: link.send(b"interrupt"))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
            answer = link.recv(64)
            return int(answer) if answer.lstrip(b"-").isdigit() else None
        except OSError:  # nobody listens there any more, or the request is too large for it
            return None
        finally:
            signal.signal(signal.SIGINT, before)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
            os.close(directory)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
