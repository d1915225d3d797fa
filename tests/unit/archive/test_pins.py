"""What a branch says in git about the snapshots that it uses."""

import pytest

from distwright.archive.pins import (
    Freedom,
    check_pins,
    freedom_of,
    freeze,
    parse_pin,
    parse_pins,
    pin_path,
    thaw,
    write_pin,
    write_pins,
)
from distwright.errors import BadInput, Refused
from distwright.model.serials import Serial

OLD, NEW = Serial("2024011001"), Serial("2024020101")
ARCHIVES = ("debian", "debian-security")


@pytest.mark.parametrize("pin", [None, OLD])
def test_a_pin_is_one_line_and_comes_back(pin: Serial | None) -> None:
    assert parse_pin(write_pin(pin), "a pin") == pin
    assert write_pin(pin).count(b"\n") == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"newest\n",
        b"Latest\n",
        b"latest\nlatest\n",
        b" latest\n",
        b"20240110\n",
        b"2024011001\r\n",
        b"\xff",
    ],
)
def test_anything_but_latest_and_a_serial_is_refused(content: bytes) -> None:
    with pytest.raises(BadInput, match="neither latest nor a serial"):
        parse_pin(content, "config/APT_snapshots.d/debian/serial")


def test_the_pins_of_a_tree_are_read_and_written() -> None:
    pins = {"debian": OLD, "debian-security": None}
    files = write_pins(pins)
    assert files == {pin_path("debian"): b"2024011001\n", pin_path("debian-security"): b"latest\n"}
    assert parse_pins(files, ARCHIVES) == pins
    assert parse_pins({}, ARCHIVES) == {}


def test_everything_wrong_with_pins_is_said_at_once() -> None:
    files = {
        pin_path("debian"): b"yesterday\n",
        pin_path("ubuntu"): b"latest\n",
        "config/APT_snapshots.d/README": b"",
        "config/APT_snapshots.d/a/b/serial": b"latest\n",
    }
    with pytest.raises(BadInput) as caught:
        parse_pins(files, ARCHIVES)
    for problem in ("'yesterday\\n'", "there is no archive 'ubuntu'", "README' is no pin", "a/b/serial' is no pin"):
        assert problem in caught.value.message


def test_freeze_sets_what_is_loose_and_leaves_what_is_frozen_and_security() -> None:
    newest = {"debian": NEW, "debian-security": NEW, "other": NEW}
    pins = {"debian": None, "debian-security": None, "other": OLD}
    frozen = freeze(pins, newest, stay_latest=["debian-security"])
    assert frozen == {"debian": NEW, "debian-security": None, "other": OLD}
    assert freeze(frozen, newest, stay_latest=["debian-security"]) == frozen
    assert freeze({}, newest) == newest
    assert thaw(frozen) == {"debian": None, "debian-security": None, "other": None}


def test_a_branch_of_work_must_not_be_frozen_and_a_stable_one_must_be() -> None:
    frozen, mixed = {"debian": OLD, "security": None}, {"debian": None, "security": OLD}
    with pytest.raises(Refused, match=r"branch devel must not be frozen:\n.*debian is frozen at 2024011001"):
        check_pins(frozen, "devel", Freedom.THAWED)
    with pytest.raises(Refused, match=r"branch stable must be frozen:\n.*debian is latest"):
        check_pins(mixed, "stable", Freedom.FROZEN)
    with pytest.raises(Refused, match="security is latest"):
        check_pins(frozen, "stable", Freedom.FROZEN)
    check_pins(frozen, "stable", Freedom.FROZEN, stay_latest=["security"])
    check_pins(thaw(frozen), "devel", Freedom.THAWED)
    check_pins(mixed, "topic", Freedom.ANY)


@pytest.mark.parametrize(
    ("branch", "freedom"),
    [
        ("stable", Freedom.FROZEN),
        ("release/1.0", Freedom.FROZEN),
        ("release/next", Freedom.THAWED),
        ("devel", Freedom.THAWED),
        ("topic", Freedom.ANY),
        ("Devel", Freedom.ANY),
    ],
)
def test_a_branch_must_be_what_its_name_says_before_what_a_pattern_says(branch: str, freedom: Freedom) -> None:
    assert freedom_of(branch, ("stable", "release/*", "both"), ("devel", "release/next", "bot*")) is freedom
    assert freedom_of("both", ("both",), ("both",)) is freedom_of("both", ("b*",), ("b*",)) is Freedom.FROZEN


def test_a_serial_that_is_named_counts_whatever_else_is_said() -> None:
    pins = {"debian": OLD, "debian-security": None}
    newest = {"debian": NEW, "debian-security": NEW}
    named = {"debian": NEW, "debian-security": OLD}
    assert freeze(pins, newest, stay_latest=["debian-security"]) == {"debian": OLD, "debian-security": None}
    assert freeze(pins, newest, stay_latest=["debian-security"], at=named) == named
