"""What an engine is: hints that a pool has work."""

from typing import Protocol


class Engine(Protocol):
    """Carries hints; tests/contract/test_engine.py says it in full. Hints may be lost, doubled or late."""

    def hint(self, pool: str) -> None:
        """Say that `pool` has work: one who waits for it wakes, at least. Returns at once, and fails neither because nobody
        listens nor because it cannot be said.
        """
        ...

    def wait(self, pools: tuple[str, ...], timeout_s: float) -> bool:
        """Wait for a hint for one of `pools`, at most `timeout_s`; say whether one came."""
        ...
