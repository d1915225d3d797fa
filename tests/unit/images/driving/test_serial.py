"""The serial line and what is read from it, without a machine."""

import base64
import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from distwright.images.driving.hardware import Firmware, Hardware, Medium
from distwright.images.driving.machine import Machine
from distwright.images.driving.patience import DrivingError, OutOfPatience, Patience
from distwright.images.driving.qmp import Qmp
from distwright.images.driving.serial import KEPT_LIMIT, Serial
from distwright.images.driving.shell import Answer, _has_prompt, _is_in_by_itself, _Quiet, parse_told


@contextlib.contextmanager
def line(*parts: bytes, earlier: str = "") -> Iterator[Serial]:
    ours, theirs = socket.socketpair()
    serial = Serial(ours, earlier)
    with theirs:
        for part in parts:
            theirs.sendall(part)
            serial.pump(1)
    yield serial
    serial.close()


def text_of(*parts: bytes) -> str:
    with line(*parts) as serial:
        return serial.text


def test_escape_sequences_and_carriage_returns_are_no_text() -> None:
    said = b"[\x1b[0;32m  OK  \x1b[0m] Started \x1b]0;title\x07\x1b[?2004hPetrel\r\n\x1b(B\x1b[m\x1b7login: "
    assert text_of(said) == "[  OK  ] Started Petrel\nlogin: "


def test_text_is_the_same_wherever_a_read_ends() -> None:
    said = "[\x1b[0;32m  OK  \x1b[0m] grüßt \x1b]0;x\x1b\\ end".encode()
    for at in range(len(said)):
        assert text_of(said[:at], said[at:]) == "[  OK  ] grüßt  end", at


def test_a_text_is_found_once_and_what_was_printed_before_it_is_read_then() -> None:
    with line(b"one two one", earlier="zero ") as serial:
        assert [serial.find(text) for text in ("one", "one", "one", "zero")] == [True, True, False, False]


def test_a_text_is_found_wherever_a_read_ends_within_it() -> None:
    said = b"one login: two login: "
    for at in range(len(said)):
        ours, theirs = socket.socketpair()
        serial = Serial(ours)
        with theirs:
            found = 0
            for part in (said[:at], said[at:]):
                theirs.sendall(part)
                if part:
                    serial.pump(1)
                while serial.find("login:"):
                    found += 1
                assert not serial.find("never")
        assert (found, serial.text, serial.length) == (2, said.decode(), len(said)), at
        assert serial.since(4, 10) == "login:"
        serial.close()


class Counted(Serial):
    """A serial line that counts how much is looked at."""

    looked_at = 0

    def since(self, start: int, end: int | None = None) -> str:
        found = super().since(start, end)
        self.looked_at += len(found)
        return found


def test_to_look_again_costs_only_what_is_new() -> None:
    ours, theirs = socket.socketpair()
    serial = Counted(ours)
    with theirs:
        for _ in range(200):
            theirs.sendall(b"x" * 1000)
            serial.pump(1)
            assert not serial.find("login:")
    assert serial.length == 200_000
    assert serial.looked_at < 2 * serial.length
    serial.close()


def test_a_machine_that_never_stops_printing_is_cut_and_goes_on_to_be_read() -> None:
    with line(earlier="first " + "x" * (KEPT_LIMIT - 10)) as serial:
        assert not serial.is_full
    ours, theirs = socket.socketpair()
    serial = Serial(ours, "x" * (KEPT_LIMIT - 3))
    with theirs:
        theirs.sendall(b"1234")
        assert serial.pump(1)
        theirs.sendall(b"5")
        assert serial.pump(1)
    assert (serial.is_full, serial.length, len(serial.text)) == (True, KEPT_LIMIT - 3, KEPT_LIMIT - 3)
    serial.close()


def test_who_waits_for_a_machine_that_never_stops_printing_is_told(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    control, its_control = socket.socketpair()
    with theirs, its_control, subprocess.Popen(("sleep", "60")) as there:
        serial = Serial(ours, "x" * KEPT_LIMIT)
        machine = Machine(Hardware(Firmware.BIOS, Medium.CD), tmp_path, there.pid, Qmp(control), serial)
        theirs.sendall(b"login: " * 1000)
        with pytest.raises(DrivingError, match="a login: the machine has printed more than 16 million signs"):
            machine.wait_for("a login", lambda: serial.find("login:"), Patience.begin(30, lambda: 0.0))
        machine.stop()
        there.returncode = machine.ended


def test_the_end_of_a_line_is_noticed_and_its_last_lines_are_told() -> None:
    with line(b"a\r\n\r\n  b\r\n") as serial:
        assert serial.waits_with("  b\n")
        assert not serial.pump(1)
        assert serial.is_closed
        assert (serial.tail(1), serial.tail()) == ("  b", "a\n  b")


def told(content: bytes, mark: str = "t1") -> str:
    coded = base64.encodebytes(content).decode().rstrip("\n")
    return f"prompt @{mark}<{len(coded)},{coded}>{mark}@\n"


def test_output_and_exit_code_are_told_apart() -> None:
    assert parse_told(told(b"a\n\n0\n7"), "t1") == Answer(7, b"a\n\n0")
    assert parse_told(told(b"\n0"), "t1") == Answer(0, b"")
    assert parse_told(told(bytes(range(256)) * 20 + b"\n130"), "t1") == Answer(130, bytes(range(256)) * 20)


def test_output_that_something_was_printed_into_is_not_believed() -> None:
    whole = told(b"some output that is long enough\n0")
    start = whole.index(",") + 1
    for at in range(start, whole.index(">t1")):
        assert parse_told(f"{whole[:at]}[   1.2] kernel: {whole[at:]}", "t1") is None
        assert parse_told(f"{whole[:at]}AAAA{whole[at:]}", "t1") is None
        assert parse_told(whole[:at] + whole[at + 1 :], "t1") is None
    assert parse_told(whole, "t2") is None


@pytest.mark.parametrize(
    ("used", "wall", "why"),
    [(29.0, 299.0, ""), (31.0, 40.0, "the machine has had 30 s"), (0.1, 301.0, "300 s have passed")],
)
def test_patience_ends_by_the_time_that_the_machine_had_and_at_last_by_the_clock(
    used: float, wall: float, why: str
) -> None:
    clocks = {"used": 5.0, "wall": 1000.0}
    patience = Patience.begin(30, lambda: clocks["used"], lambda: clocks["wall"])
    assert patience.why_over() == ""
    clocks["used"] += used
    clocks["wall"] += wall
    assert patience.why_over() == why
    if why:
        with pytest.raises(OutOfPatience, match=f"a login: {why}"):
            patience.check("a login")


def test_a_prompt_is_one_only_if_nothing_follows() -> None:
    said = "Linux petrel 6.1.0 #"
    quiet = _Quiet(lambda: _has_prompt(said, "user"), lambda: len(said))
    assert not any(quiet() for _ in range(4))
    said += "1 SMP\nuser@petrel:~$ "
    assert [quiet() for _ in range(8)] == [False] * 6 + [True] * 2


def test_a_login_without_a_question_is_noticed_and_of_whom() -> None:
    assert _is_in_by_itself(" user (automatic login)\n", "user")
    assert not _is_in_by_itself(" user\n", "user")
    with pytest.raises(DrivingError, match="root is logged in"):
        _is_in_by_itself(" root (automatic login)\n", "user")
    with pytest.raises(DrivingError, match="the login of user was refused"):
        _has_prompt("Login incorrect\n$ ", "user")
