"""The first thing that runs: hand a command to the resident server if there is one (cli/resident.py), else run it here.

Starting the interpreter with everything that a command needs takes half a second of CPU; a server that has it all loaded answers
in a few hundredths. Only what is needed to ask is imported here.
"""

import os
import sys
from collections.abc import Mapping, Sequence

from distwright.cli.resident_terms import SOCKET

ROOT_STATE = "/var/lib/distwright"
# What runs long, or starts a server, or makes an installation, runs in a process of its own.
AT_HOME = frozenset({"serve", "worker", "demo", "doctor", "config", "builder"})
AT_HOME_VERBS = frozenset({"record", "build", "import", "enter", "rebuild", "verify", "meet"})


def main() -> None:
    """Run the command line."""
    words = sys.argv[1:]
    folder = state_of(words, os.environ, os.geteuid())
    if folder is not None and words and not words[0].startswith("-") and _is_short(words):
        place = os.path.join(folder, SOCKET)  # noqa: PTH118  # pathlib costs 5 ms here
        if os.path.exists(place):  # noqa: PTH110  # as above
            from distwright.cli.asking import ask

            code = ask(folder, words)
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
