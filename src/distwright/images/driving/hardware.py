"""What a machine is made of, as words for QEMU (pure). A saved machine goes on only in one that is made of the same."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from .patience import DrivingError

QEMU = "qemu-system-x86_64"
MAC = "52:54:00:64:77:01"
_OVMF = Path("/usr/share/OVMF")


class Firmware(StrEnum):
    """What starts the machine."""

    BIOS = "bios"
    UEFI = "uefi"
    SECURE_BOOT = "secure-boot"


class Medium(StrEnum):
    """What it is started from: a disc or a stick, which stay as they are, or a kernel that is handed to it."""

    CD = "cd"
    USB = "usb"
    KERNEL = "kernel"


@dataclass(frozen=True, slots=True)
class Hardware:
    """A machine. accelerator: as QEMU's -accel. image: of a disc or stick; else kernel, initrd and the kernel's command line.

    cpus: at most, see `_cpus`.
    keeps_writes: the machine can write to its stick, and finds it again until it is switched off; the file stays as it is.
    """

    firmware: Firmware
    medium: Medium
    accelerator: str = "tcg,thread=multi"
    image: Path = Path("image.iso")
    kernel: Path = Path("vmlinuz")
    initrd: Path = Path("initrd.img")
    command_line: str = ""
    memory_mb: int = 2048
    cpus: int = 2
    keeps_writes: bool = False


def code_and_variables(firmware: Firmware) -> tuple[Path, Path]:
    """Name the code of a UEFI and its first variables, those of Secure Boot with Microsoft's keys, which sign Debian's shim."""
    if firmware is Firmware.SECURE_BOOT:
        return _OVMF / "OVMF_CODE_4M.secboot.fd", _OVMF / "OVMF_VARS_4M.ms.fd"
    return _OVMF / "OVMF_CODE_4M.fd", _OVMF / "OVMF_VARS_4M.fd"


def arguments(hardware: Hardware, folder: Path, serial_fd: int, qmp_fd: int) -> list[str]:
    """Give the command line of a machine that stands still until it is told to go. folder: for its packets and variables.

    guest_announce: QEMU 7.2 breaks when a machine is reset that was restored and announces nothing (machine.py), unless it is off.
    The network is one in which nobody answers but DHCP: what the machine sends is written down, and leads nowhere.
    """
    pflash = "cfi.pflash01"
    words = [
        QEMU, "-S", "-nodefaults", "-no-user-config", "-accel", hardware.accelerator,
        "-machine", "q35,smm=on" if hardware.firmware is Firmware.SECURE_BOOT else "q35",
        "-m", str(hardware.memory_mb), "-smp", str(_cpus(hardware)), "-display", "none", "-vga", "std", "-rtc", "base=utc",
        "-chardev", f"socket,id=serial0,fd={serial_fd}", "-serial", "chardev:serial0",
        "-chardev", f"socket,id=qmp0,fd={qmp_fd}", "-mon", "chardev=qmp0,mode=control",
        "-device", "qemu-xhci,id=usb", "-device", "virtio-rng-pci",
        "-netdev", "user,id=net0,restrict=on", "-device", f"virtio-net-pci,netdev=net0,mac={MAC},guest_announce=off,romfile=",
        "-object", f"filter-dump,id=dump0,netdev=net0,file={_quoted(folder / 'packets.pcap')}",
    ]  # fmt: skip
    if hardware.firmware is not Firmware.BIOS:
        code, _ = code_and_variables(hardware.firmware)
        words += ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={_quoted(code)}"]
        words += ["-drive", f"if=pflash,unit=1,format=raw,file={_quoted(folder / 'variables.fd')}"]
    if hardware.firmware is Firmware.SECURE_BOOT:
        words += ["-global", f"driver={pflash},property=secure,value=on"]
    return words + _medium(hardware)


def _cpus(hardware: Hardware) -> int:
    """Give one processor where it is emulated, whatever was asked for.

    QEMU 7.2 loses a timer of the second of two now and then, and the machine stands still until its time is over ("rcu_preempt
    kthread timer wakeup didn't happen"). The other processors of the host have other machines of the same test.
    """
    return 1 if hardware.accelerator.startswith("tcg") else hardware.cpus


def _medium(hardware: Hardware) -> list[str]:
    if hardware.medium is Medium.KERNEL:
        files = ["-kernel", str(hardware.kernel), "-initrd", str(hardware.initrd)]
        return [*files, "-append", hardware.command_line]
    written = "snapshot=on" if hardware.keeps_writes else "readonly=on"
    drive = f"id=medium,if=none,format=raw,{written},file={_quoted(hardware.image)}"
    device = "ide-cd,drive=medium" if hardware.medium is Medium.CD else "usb-storage,bus=usb.0,drive=medium"
    return ["-drive", drive, "-device", f"{device},bootindex=0"]


def _quoted(path: Path) -> str:
    """Quote a path for an option of QEMU, in which a comma ends a value. Raises DrivingError for one that no option can hold."""
    if "\n" in str(path):
        raise DrivingError(f"QEMU takes no path with a line end: {str(path)!r}")
    return str(path).replace(",", ",,")
