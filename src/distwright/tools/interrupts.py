"""Ctrl-C and SIGTERM are noted while work is under way that cannot be left in its middle, and raised after it."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Interrupts:
    """Signals that came. wake: called with each, by the main thread between two instructions of anything."""

    numbers: list[int] = field(default_factory=list)
    wake: Callable[[], object] | None = None

    def __bool__(self) -> bool:
        """Whether one came."""
        return bool(self.numbers)

    def note(self, number: int, _frame: object = None) -> None:
        """Note a signal."""
        self.numbers.append(number)
        if self.wake is not None:
            self.wake()


@contextmanager
def interrupts_noted() -> Iterator[Interrupts]:
    """Note Ctrl-C, and SIGTERM; raise KeyboardInterrupt at the end of the block if one came, whatever else ended it.

    In the middle of a transaction it would leave that open, and the next one would wait for it until it gives up. A signal that is
    ignored stays so; in a thread other than the main one nothing is noted, for signals are the main one's alone.
    """
    noted = Interrupts()
    is_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)} if is_main else {}
    changed = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in changed:
        signal.signal(number, noted.note)
    try:
        yield noted
    finally:
        for number, handler in changed.items():
            signal.signal(number, handler)
        if noted:
            raise KeyboardInterrupt
