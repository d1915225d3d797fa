"""A machine in QEMU: started, watched, saved while it runs, started again from there, stopped."""

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from .hardware import Firmware, Hardware, arguments, code_and_variables
from .packets import Heard, Sent
from .patience import DrivingError, OutOfPatience, Patience
from .pictures import Picture
from .qmp import Qmp
from .serial import KEPT_LIMIT, Serial

LOOK_S = 1.0
CAPTURE_LIMIT_BYTES = 64 << 20
_LOG_LIMIT_BYTES = 1 << 20
_PIECES_AT_ONCE = 64  # of 64 KiB: who never stops printing is looked at, too
_SAVED = ("packets.pcap", "variables.fd")  # beside the state itself; the latter only with UEFI


@dataclass(slots=True)
class Machine:
    """A machine. folder: its files, its own. ended: QEMU's exit code, None while it runs.

    watch: is given a picture a second while something is waited for.
    """

    hardware: Hardware
    folder: Path
    pid: int
    qmp: Qmp
    serial: Serial
    watch: Callable[[Picture], None] | None = None
    disks: list[str] = field(default_factory=list)
    heard: Heard = field(default_factory=Heard)
    ended: int | None = None
    looked_at: float = 0.0
    began: float = field(default_factory=time.monotonic)

    @classmethod
    def start(cls, hardware: Hardware, folder: Path) -> Self:
        """Switch a machine on. Raises DrivingError if QEMU does not start."""
        machine = cls._made(hardware, folder, "")
        machine.qmp.execute("cont")
        return machine

    @classmethod
    def restore(cls, hardware: Hardware, saved: Path, folder: Path) -> Self:
        """Let a saved machine go on, as often as one likes. Raises DrivingError if it is of other hardware or of another QEMU."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in _SAVED:
            if (saved / name).exists():
                shutil.copyfile(saved / name, folder / ("earlier.pcap" if name.endswith(".pcap") else name))
        machine = cls._made(hardware, folder, (saved / "serial.txt").read_text(), "-incoming", "defer")
        try:
            # Or QEMU would tell the network by itself that the machine has come, and that would have left the machine.
            machine.qmp.execute("migrate-set-parameters", announce_rounds=0)
            machine.qmp.execute("migrate-incoming", uri=f"exec:zstd -dcq <{shlex.quote(str(saved / 'state.zst'))}")
            machine.finish_migration()
            machine.qmp.execute("cont")
        except BaseException:
            machine.stop()
            raise
        return machine

    @classmethod
    def _made(cls, hardware: Hardware, folder: Path, earlier: str, *more: str) -> Self:
        folder.mkdir(parents=True, exist_ok=True)
        if hardware.firmware is not Firmware.BIOS and not (folder / "variables.fd").exists():
            shutil.copyfile(code_and_variables(hardware.firmware)[1], folder / "variables.fd")
        serial, its_serial = socket.socketpair()
        control, its_control = socket.socketpair()
        with its_serial, its_control:
            for end in (its_serial, its_control):
                os.set_inheritable(end.fileno(), True)  # noqa: FBT003  # its name is the function's
            argv = [*arguments(hardware, folder, its_serial.fileno(), its_control.fileno()), *more]
            pid = _spawned(argv, folder)
        machine = cls(hardware, folder, pid, Qmp(control), Serial(serial, earlier))
        try:
            machine.qmp.greet()
        except (DrivingError, OSError) as error:
            machine.stop()
            said = machine.said().decode(errors="replace").strip()[-2000:]
            raise DrivingError(f"QEMU did not start: {error}: {said}") from error
        return machine

    def progress_s(self) -> float:
        """Say for how long the machine has run, or had nothing to do: not for how long it was kept waiting for a processor.

        Source: Linux's Documentation/scheduler/sched-stats.rst; the second number of each thread's schedstat, in ns.
        """
        waited_ns = [0]
        for task in Path(f"/proc/{self.pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                waited_ns.append(int(task.read_text().split()[1]))
        return time.monotonic() - self.began - max(waited_ns) / 1e9

    def patience(self, limit_s: float) -> Patience:
        """Begin to count seconds of this machine's progress."""
        return Patience.begin(limit_s, self.progress_s)

    def is_on(self) -> bool:
        """Say whether the machine is still there: it switches itself off, or QEMU breaks."""
        if self.ended is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.ended = os.waitstatus_to_exitcode(status) if pid else None
        return self.ended is None

    def wait_for(self, what: str, is_so: Callable[[], bool], patience: Patience) -> None:
        """Wait until something is so, reading the serial line. Raises OutOfPatience or DrivingError with its last lines."""
        while True:
            was_on = self.is_on()
            more = self.serial.pump(0.05)
            for _ in range(_PIECES_AT_ONCE):
                more = more and self.serial.pump(0)
            if is_so():
                return
            if self.serial.is_full:
                raise DrivingError(
                    f"{what}: the machine has printed more than {KEPT_LIMIT >> 20} million signs; the last that are kept:\n"
                    f"{self.serial.tail()}"
                )
            if not was_on:
                why = f"QEMU has broken (exit code {self.ended})" if self.ended else "the machine is off"
                raise DrivingError(f"{what}: {why}; last on its serial line:\n{self.serial.tail()}")
            try:
                patience.check(what)
            except OutOfPatience as error:
                raise OutOfPatience(f"{error}; last on its serial line:\n{self.serial.tail()}") from None
            self.look()

    def look(self) -> None:
        """Show the screen to who watches, once a second at most."""
        now = time.monotonic()
        if self.watch is not None and now - self.looked_at >= LOOK_S:
            self.looked_at = now
            with contextlib.suppress(DrivingError):
                self.watch(self.picture())

    def picture(self) -> Picture:
        """Give what is on the screen."""
        file = self.folder / "screen.ppm"
        self.qmp.execute("screendump", filename=str(file))
        return Picture.from_ppm(file.read_bytes())

    def press(self, *keys: str) -> None:
        """Press keys together, by QEMU's names (`ctrl`, `alt`, `f1`, `ret`, `a`)."""
        self.qmp.execute("send-key", keys=[{"type": "qcode", "data": key} for key in keys])

    def attach_disk(self, name: str, file: Path, size_mb: int) -> None:
        """Plug a USB disk in, of a file that is made if it is not there: empty, and without holding space."""
        if not file.exists():
            with file.open("wb") as new:
                new.truncate(size_mb << 20)
        self._plug_in(name, file, is_read_only=False)

    def attach_file(self, name: str, file: Path) -> None:
        """Plug a file in as a USB disk that cannot be written to."""
        self._plug_in(name, file, is_read_only=True)

    def _plug_in(self, name: str, file: Path, *, is_read_only: bool) -> None:
        below: dict[str, Any] = {"driver": "file", "filename": str(file), "read-only": is_read_only}
        node: dict[str, Any] = {"driver": "raw", "node_name": name, "read-only": is_read_only, "file": below}
        self.qmp.execute("blockdev-add", **node)
        self.qmp.execute("device_add", driver="usb-storage", bus="usb.0", drive=name, id=name, serial=name)
        self.disks.append(name)

    def detach_disk(self, name: str) -> None:
        """Pull a USB disk out."""
        self.qmp.execute("device_del", id=name)
        self.disks.remove(name)

    def reset(self) -> None:
        """Press the reset button."""
        self.qmp.execute("system_reset")

    def save(self, saved: Path) -> None:
        """Save the machine as it is, to go on from there, and stop it. Raises DrivingError."""
        saved.mkdir(parents=True, exist_ok=True)
        self.serial.pump(0)
        self.qmp.execute("stop")
        self.qmp.execute("migrate-set-parameters", max_bandwidth=1 << 40)
        self.qmp.execute("migrate", uri=f"exec:zstd -3 -T0 -qf -o {shlex.quote(str(saved / 'state.zst'))}")
        self.finish_migration()
        (saved / "serial.txt").write_text(self.serial.text)
        self.qmp.execute("quit")
        self.stop(grace_s=10)
        for name in _SAVED:
            if (self.folder / name).exists():
                shutil.copyfile(self.folder / name, saved / name)

    def packets(self, limit_bytes: int = CAPTURE_LIMIT_BYTES) -> list[bytes]:
        """Give the captures of what went over the network, the beginning of each: from before it was saved, and since."""
        found = []
        for path in self._captures():
            with path.open("rb") as file:
                found.append(file.read(limit_bytes))
        return found

    def sent(self) -> tuple[Sent, ...]:
        """Say what has left the machine, reading what is new in its captures. Raises DrivingError for too much."""
        return self.heard.read(self._captures())

    def _captures(self) -> list[Path]:
        return [file for name in ("earlier.pcap", "packets.pcap") if (file := self.folder / name).exists()]

    def said(self) -> bytes:
        """Give the last that QEMU itself has said."""
        log = self.folder / "qemu.log"
        if not log.exists():
            return b""
        with log.open("rb") as file:
            file.seek(max(log.stat().st_size - _LOG_LIMIT_BYTES, 0))
            return file.read(_LOG_LIMIT_BYTES)

    def stop(self, grace_s: float = 0) -> None:
        """Pull the plug, after `grace_s` seconds in which it may end by itself."""
        until = time.monotonic() + grace_s
        while self.is_on() and time.monotonic() < until:
            time.sleep(0.02)
        if self.is_on():
            os.kill(self.pid, signal.SIGKILL)
            self.ended = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        while self.serial.pump(0):
            pass
        self.serial.close()
        self.qmp.close()

    def finish_migration(self) -> None:
        """Wait until a migration is done."""
        patience = self.patience(600)
        while True:
            told = self.qmp.execute("query-migrate")
            status = told.get("status") if isinstance(told, dict) else None
            if status == "completed":
                return
            if status == "failed" or not self.is_on():
                said = self.said().decode(errors="replace").strip()[-2000:]
                raise DrivingError(f"the machine cannot be saved or restored: {json.dumps(told)}: {said}")
            patience.check("saving or restoring the machine")
            time.sleep(0.02)


def _spawned(argv: list[str], folder: Path) -> int:
    """Start QEMU; only its sockets are inherited. What it keeps of a stick that is written to is in the folder, without a name."""
    environment = {**os.environ, "TMPDIR": str(folder)}
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(folder / "qemu.log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    try:
        return os.posix_spawnp(argv[0], argv, environment, file_actions=actions)
    except OSError as error:
        raise DrivingError(f"{argv[0]} does not start: {error}") from error
