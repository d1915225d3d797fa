"""Who lives on this machine, and waiting until that changes: for tests of what must not outlive something."""

import os
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE_S = 20.0


def living(text: str) -> list[int]:
    """List the processes (no zombies, not this one) whose command line has a text."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            has_text = text.encode() in (entry / "cmdline").read_bytes()  # a zombie has none
        except OSError:
            continue
        if has_text:
            found.append(int(entry.name))
    return sorted(found)


def wait_until(condition: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait until something is true; fail, naming it, if that never happens."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.01)
