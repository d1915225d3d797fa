"""A stick in a machine: how far it starts when its kernel is none."""

import os
import shutil
import subprocess
from pathlib import Path

OVMF = "/usr/share/OVMF/OVMF_CODE_4M.fd"
OVMF_VARS = "/usr/share/OVMF/OVMF_VARS_4M.fd"


def started_by_grub(disk: Path, folder: Path, firmware: str) -> bytes:
    """Start a disk with "bios" or "uefi"; give what the serial line said until GRUB refused the kernel, or 120 s were over.

    Nothing is written to the disk. folder: for the machine's own memory.
    """
    argv = [
        "timeout", "--foreground", "120", "qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-m", "256",
        "-display", "none", "-nic", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot", "-device", "qemu-xhci",
        "-drive", f"file={disk},format=raw,if=none,id=stick,snapshot=on",
        "-device", "usb-storage,drive=stick,bootindex=0",
    ]  # fmt: skip
    if firmware == "uefi":
        shutil.copy(OVMF_VARS, folder / "vars.fd")
        for unit in (f"readonly=on,file={OVMF}", f"file={folder / 'vars.fd'}"):
            argv += ["-drive", f"if=pflash,format=raw,{unit}"]
    said = b""
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as machine:
        assert machine.stdout is not None
        try:
            while b"invalid magic number" not in said and (piece := os.read(machine.stdout.fileno(), 4096)):
                said += piece
        finally:
            machine.terminate()  # timeout(1) passes it on; killed, it would leave QEMU alone
    return said
