"""Turns: what two jobs need alike is made once, and the second waits for it instead of making it too."""

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from distwright.errors import Busy
from distwright.model.digests import Sha256
from distwright.store.locks import locked

_POLL_S = 0.2


@contextmanager
def turn_of(folder: Path, key: Sha256, look: Callable[[], None]) -> Iterator[None]:
    """Be the only one of this machine who makes what `key` names. look: called while another does, may raise to stop waiting.

    A turn ends with the process that has it. Who opened the lock's file just before it was removed may have a turn beside another:
    then something is made twice, which changes nothing.
    """
    path = folder / key
    while True:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked(path, patience_s=0))
            except Busy:
                pass
            else:
                stack.callback(path.unlink, missing_ok=True)
                yield
                return
        look()
        time.sleep(_POLL_S)
