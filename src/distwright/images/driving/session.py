"""One scenario: its machine, who is logged in, what was run and seen, and what is kept of it if it fails."""

import contextlib
import json
import os
import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from .film import Film
from .hardware import Firmware, Hardware, Medium
from .machine import Machine
from .packets import Sent
from .patience import DrivingError, Patience
from .shell import Answer, Shell

SETTINGS = "settings.json"
LIMIT_TAG, FRESH_TAG, QUARANTINE_TAG, ONLY_TAG, UPGRADE_TAG = "limit:", "fresh", "quarantine", "only:", "upgrade"
BEFORE, UPGRADE_KIT = "before.img", "kit.tar"  # in the work folder, if there is an upgrade to try
BASE_FEATURES = "base-features"  # in the work folder, if the image is of a topic

# Of evidence: a machine can print, send and show as much as it likes.
FILE_LIMIT_BYTES, SCENARIO_LIMIT_BYTES = 8 << 20, 64 << 20  # no report shows a file that is larger
SAID_LIMIT = 1 << 16  # signs of what a command gave


@dataclass(frozen=True, slots=True)
class Upgrade:
    """From which image to which an upgrade is tried, by their names. kit: a plain tar, as the site publishes it."""

    source: str
    target: str
    kit: Path


@dataclass(frozen=True, slots=True)
class Settings:
    """What is the same for all scenarios of a run; read from a file that the order of the test gives.

    expect: what the serial line shows when the machine has started. boot_limit_s, limit_s: what that and a scenario may take, in
    seconds of the machine's progress. saved: a folder with a machine that has started, None if each scenario starts its own.
    upgrade: None if there is none to try.
    """

    hardware: Hardware
    expect: str
    boot_limit_s: float
    limit_s: float
    user: str
    password: str
    saved: Path | None = None
    upgrade: Upgrade | None = None

    @property
    def stick(self) -> Hardware:
        """The machine of an upgrade: started from a stick with the image before, which it can write to."""
        image = self.hardware.image.with_name(BEFORE)
        return replace(self.hardware, medium=Medium.USB, image=image, keeps_writes=True)

    @classmethod
    def read(cls, folder: Path, saved: Path | None = None) -> "Settings":
        """Read `settings.json` of a folder, in which the image is, too. Raises DrivingError if it is not what we write."""
        try:
            given = json.loads((folder / SETTINGS).read_text())
            hardware = Hardware(
                Firmware(given["firmware"]), Medium(given["medium"]), given["accelerator"],
                image=folder / "image", kernel=Path(given.get("kernel", "")), initrd=Path(given.get("initrd", "")),
                command_line=given.get("command_line", ""), memory_mb=given["memory_mb"], cpus=given["cpus"],
            )  # fmt: skip
            return cls(
                hardware,
                given["expect"],
                given["boot_limit_s"],
                given["limit_s"],
                given["user"],
                given["password"],
                saved,
                _upgrade(given["upgrade"], folder) if "upgrade" in given else None,
            )
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise DrivingError(f"{SETTINGS} cannot be used: {error!r}") from error


def _upgrade(names: list[str], folder: Path) -> Upgrade:
    source, target = names
    return Upgrade(source, target, folder / UPGRADE_KIT)


def limit_of(tags: Sequence[str], default_s: float) -> float:
    """Say what a scenario may take: as `@limit:SECONDS` says (pure). Raises DrivingError if that is no number of seconds."""
    for tag in tags:
        if tag.startswith(LIMIT_TAG):
            if not re.fullmatch(r"[1-9][0-9]{0,5}", tag.removeprefix(LIMIT_TAG)):
                raise DrivingError(f"@{tag}: want whole seconds, as in @{LIMIT_TAG}90")
            return float(tag.removeprefix(LIMIT_TAG))
    return default_s


def is_for(tags: Sequence[str], firmware: Firmware) -> bool:
    """Say whether a scenario is meant for a firmware: `@only:FIRMWARE`, several of which add up (pure)."""
    only = [tag.removeprefix(ONLY_TAG) for tag in tags if tag.startswith(ONLY_TAG)]
    return not only or firmware.value in only


def is_quarantined(tags: Sequence[str], name: str, base: Collection[str] | None) -> bool:
    """Say whether a scenario decides nothing (pure). base: those in quarantine on the topic's base; None: it is of no topic.

    Who writes a topic could take what it breaks out of the way with a tag.
    """
    return QUARANTINE_TAG in tags and (base is None or name in base)


@dataclass(slots=True)
class Session:
    """A scenario that runs. kept: pictures that a step wanted to have. said: the commands with what they gave."""

    settings: Settings
    folder: Path
    limit_s: float
    film: Film = field(default_factory=Film)
    kept: dict[str, bytes] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    _machine: Machine | None = None
    _shell: Shell | None = None
    _answer: Answer | None = None
    _patience: Patience | None = None

    def begin(self, *, fresh: bool, upgrade: bool = False) -> float:
        """Get a machine: the saved one, or one that was just switched on. Says how many seconds that took on the clock.

        upgrade: one that starts from the image before, and has time to start twice.
        """
        began, saved = time.monotonic(), self.settings.saved
        limit_s = self.limit_s
        if upgrade:
            self._machine = Machine.start(self.settings.stick, self.folder)
            limit_s += 2 * self.settings.boot_limit_s
        elif saved is None or fresh:
            self._machine = Machine.start(self.settings.hardware, self.folder)
            limit_s += self.settings.boot_limit_s
        else:
            self._machine = Machine.restore(self.settings.hardware, saved, self.folder)
        self.machine.watch = self.film.add
        self._patience = self.machine.patience(limit_s)
        if saved is None and not fresh and not upgrade:
            self.wait_for_start()
        return time.monotonic() - began

    @property
    def machine(self) -> Machine:
        """The machine."""
        if self._machine is None:
            raise DrivingError("there is no machine")
        return self._machine

    @property
    def patience(self) -> Patience:
        """What is left of the time of the scenario."""
        if self._patience is None:
            raise DrivingError("the scenario has not begun")
        return self._patience

    @property
    def answer(self) -> Answer:
        """What the last command gave."""
        if self._answer is None:
            raise DrivingError("no command was run yet")
        return self._answer

    def wait_for_start(self) -> None:
        """Wait until the machine shows what it shows when it has started."""
        self.wait_for_text(self.settings.expect)

    def wait_for_text(self, text: str) -> None:
        """Wait until the serial line shows a text that was not read yet."""
        self.machine.wait_for(f"{text!r} on the serial line", lambda: self.machine.serial.find(text), self.patience)

    def log_in(self, user: str, password: str) -> None:
        """Log in on the serial line."""
        shell = Shell(self.machine)
        shell.log_in(user, password, self.patience)
        self._shell = shell

    def run(self, command: str) -> Answer:
        """Run a command, as who is logged in; the user of the settings is, if nobody is yet."""
        if self._shell is None:
            self.log_in(self.settings.user, self.settings.password)
        assert self._shell is not None  # noqa: S101  # for the types
        self._answer = self._shell.run(command, self.patience)
        self.said.append(f"$ {command}\n{self._answer.text[-SAID_LIMIT:]}[exit code {self._answer.exit_code}]\n")
        return self._answer

    def leave_shell(self, last_words: str) -> None:
        """Type a command after which nobody is logged in any more, and what was printed before counts as read."""
        self.run("true")
        self.machine.serial.seen = self.machine.serial.length
        self.machine.serial.send(f"{last_words}\r")
        self.said.append(f"$ {last_words}\n")
        self._shell = None

    def reset(self) -> None:
        """Press the reset button. What was printed before counts as read."""
        self.machine.serial.seen = self.machine.serial.length
        self._shell = None
        self.machine.reset()

    def sent(self) -> tuple[Sent, ...]:
        """Say what has left the machine since it was switched on."""
        return self.machine.sent()

    def end(self) -> None:
        """Stop the machine."""
        if self._machine is not None:
            self._machine.stop()

    def evidence(self) -> dict[str, bytes]:
        """Give what is kept of a scenario that failed: file -> content. The machine may be off."""
        files: dict[str, bytes] = {}
        if self._machine is None:
            return bounded(self.kept)
        with contextlib.suppress(DrivingError, OSError):  # a machine that is off, or broken, shows nothing
            picture = self._machine.picture()
            self.film.add(picture)
            files["screen.png"] = picture.to_png()
        serial = self._machine.serial
        files["serial.txt"] = serial.since(max(serial.length - FILE_LIMIT_BYTES, 0)).encode()[-FILE_LIMIT_BYTES:]
        files["commands.txt"] = "\n".join(self.said).encode()[-FILE_LIMIT_BYTES:]
        files["qemu.txt"] = self._machine.said()
        files["film.png"] = self.film.to_png(FILE_LIMIT_BYTES)
        files |= self.kept
        for number, capture in enumerate(self._machine.packets(FILE_LIMIT_BYTES), start=1):
            files[f"packets-{number}.pcap"] = capture
        return bounded(files)


def bounded(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Give the files of a scenario that are kept, the first first (pure): none that is empty, too large, or too much together."""
    found, left = dict[str, bytes](), SCENARIO_LIMIT_BYTES
    for name, content in files.items():
        if 0 < len(content) <= min(FILE_LIMIT_BYTES, left):
            found[name] = content
            left -= len(content)
    return found


def write_whole(file: Path, content: str) -> None:
    """Write a file so that whoever reads it finds the old or the new content, never a part."""
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    partial.write_text(content)
    partial.rename(file)
