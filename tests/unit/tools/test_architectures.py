"""Which architectures run on a machine: decided from what was seen of it, as Debian's qemu-user-static and others leave it."""

from dataclasses import replace
from pathlib import Path

import pytest

from distwright.tools.architectures import MachineSeen, look_at_machine, parse_entry, way_to_run

AARCH64 = """\
enabled
interpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P
flags: PF
offset 0
magic 7f454c460201010000000000000000000200b700
mask ffffffffffffff00fffffffffffffffffeffffff
"""
JAR = "enabled\ninterpreter /usr/bin/jexec\nflags: \noffset 0\nmagic 504b0304\n"
EXTENSION = "enabled\ninterpreter /usr/bin/wine\nflags: \nextension .exe\n"

BARE = MachineSeen("x86_64", runs_i386=True, has_binfmt=False, is_on=False)


def handlers(*texts: str) -> MachineSeen:
    found = [parse_entry(f"handler-{number}", text) for number, text in enumerate(texts)]
    return replace(
        BARE, has_binfmt=True, is_on=True, emulators=tuple(handler for handler in found if handler is not None)
    )


EMULATES = handlers(JAR, AARCH64)


@pytest.mark.parametrize(
    ("seen", "architecture", "what"),
    [
        (BARE, "amd64", "amd64 is this machine's own"),
        (replace(BARE, machine="aarch64"), "arm64", "arm64 is this machine's own"),
        (BARE, "i386", "i386 runs as it is on amd64"),
        (EMULATES, "arm64", "arm64 runs under emulation (handler-1)"),
    ],
)
def test_what_runs_here_is_said_with_how(seen: MachineSeen, architecture: str, what: str) -> None:
    way = way_to_run(seen, architecture)
    assert (way.is_there, way.what) == (True, what)


@pytest.mark.parametrize(
    ("seen", "architecture", "why", "hint"),
    [
        (BARE, "arm64", "arm64 cannot run on amd64: binfmt_misc is not mounted", "sudo mount -t binfmt_misc binfmt_misc "),
        (replace(BARE, runs_i386=False), "i386", "i386 cannot run on amd64: binfmt_misc", "apt-get install qemu-user-static"),
        (replace(BARE, machine="aarch64"), "i386", "i386 cannot run on arm64", "apt-get install qemu-user-static"),
        (handlers(JAR, EXTENSION), "arm64", "no emulator of it is registered", "sudo update-binfmts --enable"),
        (EMULATES, "riscv64", "riscv64 cannot run on amd64: no emulator of it is registered", "qemu-user-static"),
        (EMULATES, "armhf", "armhf cannot run on amd64: no emulator of it is registered", "qemu-user-static"),
        (replace(EMULATES, is_on=False), "arm64", "binfmt_misc is switched off", "binfmt_misc/status"),
        (handlers(AARCH64.replace("enabled", "disabled")), "arm64", "handler-0 is switched off", "binfmt_misc/handler-0"),
        (handlers(AARCH64.replace("PF", "P")), "arm64", "must be seen from inside of the sandbox (no flag F)", "qemu-user-static"),
        (EMULATES, "hurd-amd64", "hurd-amd64 cannot run on amd64: no emulator of it is known", "another architecture"),
    ],
)  # fmt: skip
def test_what_does_not_run_here_is_said_with_why_and_what_to_type(
    seen: MachineSeen, architecture: str, why: str, hint: str
) -> None:
    way = way_to_run(seen, architecture)
    assert not way.is_there
    assert why in way.what
    assert hint in way.hint


def test_of_several_emulators_one_that_works_is_enough() -> None:
    assert way_to_run(handlers(AARCH64.replace("PF", "P"), AARCH64), "arm64").is_there


def test_a_handler_takes_programs_by_their_head_as_far_as_its_mask_counts() -> None:
    handler = parse_entry("qemu-aarch64", AARCH64)
    assert handler is not None
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00"
    assert handler.takes(head)
    assert handler.takes(head.replace(b"\x02\x00\xb7", b"\x03\x00\xb7")), "ET_DYN: the mask lets the lowest bit go"
    assert not handler.takes(head.replace(b"\xb7", b"\x3e"))
    assert not handler.takes(head[:10])
    assert parse_entry("wine", EXTENSION) is None


def test_a_machine_without_binfmt_misc_is_seen_as_such(tmp_path: Path) -> None:
    seen = look_at_machine(tmp_path)
    assert (seen.has_binfmt, seen.is_on, seen.emulators) == (False, False, ())


def test_what_the_kernel_shows_is_read(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("enabled\n")
    (tmp_path / "register").touch()
    (tmp_path / "qemu-aarch64").write_text(AARCH64)
    (tmp_path / "wine").write_text(EXTENSION)
    seen = look_at_machine(tmp_path)
    assert (seen.has_binfmt, seen.is_on, [handler.name for handler in seen.emulators]) == (True, True, ["qemu-aarch64"])
    assert seen.emulators[0].interpreter == "/usr/libexec/qemu-binfmt/aarch64-binfmt-P"
