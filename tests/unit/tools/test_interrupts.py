"""Ctrl-C and SIGTERM while work is under way that cannot be left in its middle."""

import os
import signal
import threading

import pytest

from distwright.tools.interrupts import interrupts_noted


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_is_raised_after_the_block_and_not_in_it(number: signal.Signals) -> None:
    before, done = signal.getsignal(number), list[str]()

    def work() -> None:
        with interrupts_noted() as noted:
            noted.wake = lambda: done.append("woken")
            os.kill(os.getpid(), number)
            done.append("went on")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["woken", "went on"]
    assert signal.getsignal(number) == before


def test_it_is_not_lost_where_the_block_fails() -> None:
    def work() -> None:
        with interrupts_noted():
            os.kill(os.getpid(), signal.SIGINT)
            raise OSError("another reason to leave")

    with pytest.raises(KeyboardInterrupt):
        work()


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with interrupts_noted() as noted:
            os.kill(os.getpid(), signal.SIGTERM)
        assert not noted
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_thread_leaves_signals_to_the_main_one() -> None:
    seen = list[object]()

    def look() -> None:
        with interrupts_noted():
            seen.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [before]
