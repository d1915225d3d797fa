"""Which architectures' programs run on this machine: its own, those that its kernel runs too, and those that it emulates.

Foreign programs are run by the kernel's binfmt_misc with an emulator of qemu-user. Sandboxed programs see neither the emulator's
file nor binfmt_misc, so it must be one that the kernel has opened beforehand (flag F), as Debian's qemu-user-static is.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_RUNS_I386 = Path("/proc/sys/abi/vsyscall32")  # of a kernel that runs 32-bit programs of x86

# machine of uname(2) -> architecture of Debian
_NATIVE: Mapping[str, str] = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "riscv64": "riscv64",
    "ppc64le": "ppc64el",
    "s390x": "s390x",
    "loongarch64": "loong64",
}
# architecture -> how its programs begin: class (32 or 64), byte order, machine (elf(5))
_ELF: Mapping[str, tuple[int, str, int]] = {
    "amd64": (64, "little", 62),
    "arm64": (64, "little", 183),
    "armel": (32, "little", 40),
    "armhf": (32, "little", 40),
    "i386": (32, "little", 3),
    "loong64": (64, "little", 258),
    "mips64el": (64, "little", 8),
    "ppc64el": (64, "little", 21),
    "riscv64": (64, "little", 243),
    "s390x": (64, "big", 22),
}
_INSTALL = "sudo apt-get install qemu-user-static binfmt-support"
_MOUNT = f"sudo mount -t binfmt_misc binfmt_misc {_BINFMT}"
_ENABLE = "sudo update-binfmts --enable"


@dataclass(frozen=True, slots=True)
class Emulator:
    """An entry of binfmt_misc: programs that begin with `magic`, as far as `mask` counts, are run by `interpreter`."""

    name: str
    is_enabled: bool
    interpreter: str
    flags: str
    offset: int
    magic: bytes
    mask: bytes

    def takes(self, head: bytes) -> bool:
        """Say whether it is for a program that begins like this."""
        found = head[self.offset : self.offset + len(self.magic)]
        mask = self.mask or b"\xff" * len(self.magic)
        wanted = zip(found, self.magic, mask, strict=False)
        return len(found) == len(self.magic) > 0 and all(
            there & counts == magic & counts for there, magic, counts in wanted
        )


@dataclass(frozen=True, slots=True)
class MachineSeen:
    """What decides. machine: as uname(2) says it. has_binfmt: binfmt_misc is mounted; is_on: and not switched off."""

    machine: str
    runs_i386: bool
    has_binfmt: bool
    is_on: bool
    emulators: tuple[Emulator, ...] = ()


def known_architectures() -> frozenset[str]:
    """Give the names of all architectures that programs can be run of, somewhere."""
    return frozenset({*_NATIVE.values(), *_ELF})


def own_architecture(machine: str) -> str:
    """Give Debian's name of a machine's own architecture, as uname(2) says it; that itself, if it is none that we know."""
    return _NATIVE.get(machine, machine)


@dataclass(frozen=True, slots=True)
class Way:
    """How programs of an architecture run here, or why they do not. hint: what to type then; "" if they do."""

    what: str
    hint: str = ""

    @property
    def is_there(self) -> bool:
        """Say whether they do."""
        return not self.hint


def way_to_run(seen: MachineSeen, architecture: str) -> Way:
    """Say how a machine runs programs of an architecture."""
    native = _NATIVE.get(seen.machine, seen.machine)
    if architecture == native:
        return Way(f"{architecture} is this machine's own")
    if architecture == "i386" and native == "amd64" and seen.runs_i386:
        return Way("i386 runs as it is on amd64")
    if architecture not in _ELF:
        return Way(
            f"{architecture} cannot run on {native}: no emulator of it is known",
            "set another architecture in the table of the environment",
        )
    if not seen.has_binfmt:
        return Way(
            f"{architecture} cannot run on {native}: binfmt_misc is not mounted on {_BINFMT}",
            f"{_INSTALL}; {_MOUNT}; {_ENABLE}",
        )
    return _emulated(seen, architecture, native)


def _emulated(seen: MachineSeen, architecture: str, native: str) -> Way:
    fitting = [entry for entry in seen.emulators if entry.takes(_head(architecture))]
    ready = [entry for entry in fitting if seen.is_on and entry.is_enabled and "F" in entry.flags]
    if ready:
        return Way(f"{architecture} runs under emulation ({ready[0].name})")
    why = f"{architecture} cannot run on {native}"
    if not fitting:
        return Way(f"{why}: no emulator of it is registered in {_BINFMT}", f"{_INSTALL}; {_ENABLE}")
    if not seen.is_on:
        return Way(f"{why}: binfmt_misc is switched off", f"echo 1 | sudo tee {_BINFMT}/status")
    if not any(entry.is_enabled for entry in fitting):
        return Way(
            f"{why}: its emulator {fitting[0].name} is switched off",
            f"echo 1 | sudo tee {_BINFMT / fitting[0].name}",
        )
    return Way(
        f"{why}: its emulator {fitting[0].interpreter} must be seen from inside of the sandbox (no flag F), and is not",
        f"{_INSTALL}; {_ENABLE}",
    )


def _head(architecture: str) -> bytes:
    """Give the first 20 bytes of a program: an ET_EXEC of ELF version 1."""
    bits, order, machine = _ELF[architecture]
    is_little = order == "little"
    numbers = b"".join(number.to_bytes(2, "little" if is_little else "big") for number in (2, machine))
    return b"\x7fELF" + bytes([1 if bits == 32 else 2, 1 if is_little else 2, 1]) + bytes(9) + numbers


def parse_entry(name: str, text: str) -> Emulator | None:
    """Read what the kernel says of an entry; None for one that goes by file names."""
    lines = text.splitlines()
    words = dict(line.split(" ", 1) for line in lines if " " in line)
    if "magic" not in words:
        return None
    return Emulator(
        name,
        lines[0] == "enabled",
        words.get("interpreter", ""),
        words.get("flags:", ""),
        int(words.get("offset", "0")),
        bytes.fromhex(words["magic"]),
        bytes.fromhex(words.get("mask", "")),
    )


def look_at_machine(binfmt: Path = _BINFMT) -> MachineSeen:
    """Look at what decides, as it is now."""
    status = binfmt / "status"
    has_binfmt = status.exists()
    emulators = tuple(_entries(binfmt)) if has_binfmt else ()
    is_on = has_binfmt and status.read_text().strip() == "enabled"
    return MachineSeen(os.uname().machine, _RUNS_I386.exists(), has_binfmt, is_on, emulators)


def _entries(binfmt: Path) -> Iterable[Emulator]:
    for place in sorted(binfmt.iterdir()):
        if place.name in ("register", "status"):
            continue
        try:
            entry = parse_entry(place.name, place.read_text(errors="replace"))
        except FileNotFoundError:  # gone meanwhile
            continue
        if entry is not None:
            yield entry
