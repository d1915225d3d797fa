"""The steps of features: sentence -> what it does. Their descriptions are the reference; behave gets them by `driving/hooks.py`.

A sentence may begin with Given, When, Then, And or But: behave does not tell these apart, nor do we.
"""

import re
import shlex
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

from .packets import Sent
from .patience import DrivingError
from .pictures import Needle, find_part
from .reading import has_words, words_on
from .serial import KEYS
from .session import Session, Upgrade

_NEEDLE_LIMIT_BYTES = 8 << 20
_SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
# The disk is the kit itself, a tar. It is unpacked into memory: what is written elsewhere may go to the stick.
_APPLY = """
set -e
disk=/dev/disk/by-id/usb-QEMU_QEMU_HARDDISK_kit-0:0
for i in $(seq 60); do [ -b "$disk" ] && break; sleep 1; done
mkdir /run/upgrade-kit
mount -t tmpfs -o mode=0700 tmpfs /run/upgrade-kit
tar --extract --no-same-owner --file "$disk" --directory /run/upgrade-kit
mount -o remount,rw /run/live/medium
TMPDIR=/run/upgrade-kit /run/upgrade-kit/kit/apply /run/live/medium
"""


class Row(Protocol):
    """A row of a table, as behave has it."""

    def as_dict(self) -> dict[str, str]:
        """Give heading -> cell."""
        ...


class Context(Protocol):
    """What behave hands to a step. text, table: what stands below the sentence."""

    session: Session
    features: Path
    text: str | None
    table: Sequence[Row] | None


StepFunction = Callable[..., None]
STEPS: list[tuple[str, StepFunction]] = []


def step(sentence: str) -> Callable[[StepFunction], StepFunction]:
    """Make a function the step of a sentence; `{name}` is an argument, `{name:d}` a whole number."""

    def add(function: StepFunction) -> StepFunction:
        STEPS.append((sentence, function))
        return function

    return add


@step("the machine has started")
def _has_started(context: Context) -> None:
    """Wait until the serial line shows `boot_expect` of the image. A saved machine has shown it already."""
    context.session.wait_for_start()


@step('the serial line shows "{text}"')
def _serial_shows(context: Context, text: str) -> None:
    """Wait until the text is printed, after what earlier steps have waited for."""
    context.session.wait_for_text(text)


@step('the serial line has never shown "{text}"')
def _serial_never(context: Context, text: str) -> None:
    """Look at all that was printed since the machine was switched on."""
    context.session.machine.serial.pump(0)
    lines = [line for line in context.session.machine.serial.text.splitlines() if text in line]
    if lines:
        raise DrivingError(f"the serial line has shown {lines[0][:300]!r}")


@step('on the serial line, I type "{text}"')
def _type(context: Context, text: str) -> None:
    """Type the text, without the enter key."""
    context.session.machine.serial.send(text)


@step('on the serial line, I press "{key}"')
def _press_serial(context: Context, key: str) -> None:
    """Press a key: enter, escape, up, down, left, right, end, tab, backspace, ctrl-c, ctrl-d or ctrl-x."""
    if key not in KEYS:
        raise DrivingError(f"no key {key!r} on a serial line; there are {', '.join(KEYS)}")
    context.session.machine.serial.send(KEYS[key])


@step('I press "{keys}"')
def _press(context: Context, keys: str) -> None:
    """Press keys of the keyboard together, joined by `-`, by QEMU's names: `ret`, `esc`, `ctrl-alt-f2`."""
    context.session.machine.press(*keys.split("-"))


@step('the screen shows "{text}"')
def _screen_shows(context: Context, text: str) -> None:
    """Wait until the text is read on the screen; case, spaces and letters that look alike (0 and o, 1 and l) do not count."""
    seen: list[str] = []

    def is_there() -> bool:
        seen[:] = [words_on(context.session.machine.picture(), context.session.folder)]
        return has_words(seen[0], text)

    _wait_for_screen(context, f"{text!r} on the screen", is_there)


@step('the screen does not show "{text}"')
def _screen_hides(context: Context, text: str) -> None:
    """Read the screen now."""
    read = words_on(context.session.machine.picture(), context.session.folder)
    if has_words(read, text):
        raise DrivingError(f"the screen shows {text!r}:\n{read.strip()[:1000]}")


@step('the screen shows the picture "{file}"')
def _screen_shows_picture(context: Context, file: str) -> None:
    """Wait until the PNG, of the folder of the feature, is a part of the screen: 95 of 100 pixels, clear ones do not count."""
    place = context.features / file
    if Path(file).is_absolute() or ".." in Path(file).parts or not place.is_file():
        raise DrivingError(f"there is no picture {file} in the folder of features")
    with place.open("rb") as opened:
        needle = Needle.from_png(opened.read(_NEEDLE_LIMIT_BYTES))
    _wait_for_screen(
        context,
        f"picture {file} on the screen",
        lambda: find_part(context.session.machine.picture(), needle) is not None,
    )


@step('I keep a picture as "{name}"')
def _keep_picture(context: Context, name: str) -> None:
    """Keep what is on the screen for the report."""
    safe = re.sub(r"[^A-Za-z0-9-]+", "-", name)
    context.session.kept[f"{len(context.session.kept) + 1}-{safe}.png"] = context.session.machine.picture().to_png()


@step('I log in as "{user}" with password "{password}"')
def _log_in(context: Context, user: str, password: str) -> None:
    """Log in on the serial line, where a login is asked for."""
    context.session.log_in(user, password)


@step('I run "{command}"')
def _run(context: Context, command: str) -> None:
    """Run a command in a POSIX shell, as who is logged in; first the user of the image is, if nobody is."""
    context.session.run(command)


@step("I run")
def _run_text(context: Context) -> None:
    """Run the script that stands below, between lines of three quotes."""
    context.session.run(_text(context))


@step('I run as root "{command}"')
def _run_as_root(context: Context, command: str) -> None:
    """Run a command by `sudo`, which must not ask for a password."""
    context.session.run(f"sudo -n sh -c {shlex.quote(command)}")


@step("I run as root")
def _run_text_as_root(context: Context) -> None:
    """Run the script that stands below by `sudo`."""
    context.session.run(f"sudo -n sh -c {shlex.quote(_text(context))}")


@step("it succeeds")
def _succeeds(context: Context) -> None:
    """The last command has ended with exit code 0."""
    _exit_code(context, 0)


@step("the exit code is {code:d}")
def _exit_code(context: Context, code: int) -> None:
    """The last command has ended with this exit code."""
    answer = context.session.answer
    if answer.exit_code != code:
        raise DrivingError(f"the exit code is {answer.exit_code}, not {code}; it said:\n{answer.text[-1000:]}")


@step('the output is "{text}"')
def _output_is(context: Context, text: str) -> None:
    """The last command wrote exactly this, and perhaps a line end."""
    _same_output(context, text)


@step("the output is")
def _output_is_text(context: Context) -> None:
    """The last command wrote exactly what stands below, and perhaps a line end."""
    _same_output(context, _text(context))


@step("the output is empty")
def _output_is_empty(context: Context) -> None:
    """The last command wrote nothing."""
    _same_output(context, "")


@step('the output contains "{text}"')
def _output_contains(context: Context, text: str) -> None:
    """The text is in what the last command wrote."""
    if text not in context.session.answer.text:
        raise DrivingError(f"{text!r} is not in the output:\n{context.session.answer.text[-1000:]}")


@step('the output does not contain "{text}"')
def _output_lacks(context: Context, text: str) -> None:
    """The text is not in what the last command wrote."""
    if text in context.session.answer.text:
        raise DrivingError(f"{text!r} is in the output:\n{context.session.answer.text[-1000:]}")


@step("no unit has failed")
def _no_unit_failed(context: Context) -> None:
    """Wait until systemd has started all that it wants to, and ask it for units that failed."""
    state = context.session.run("systemctl is-system-running --wait").text.strip()
    failed = context.session.run("systemctl --failed --no-legend --plain").text.strip()
    if failed or state not in ("running", "degraded"):
        raise DrivingError(f"systemd is {state}; units that failed:\n{failed or 'none'}")


@step("no port is open")
def _no_port(context: Context) -> None:
    """Nothing listens on TCP or UDP, but on the loopback addresses."""
    _same_ports(context, set())


@step("exactly these ports are open")
def _exact_ports(context: Context) -> None:
    """What listens on TCP and UDP, but on the loopback addresses, is what the table below has: `protocol`, `port`."""
    _same_ports(context, {(row["protocol"], row["port"]) for row in _rows(context, "protocol", "port")})


@step("packets went only to")
def _only_to(context: Context) -> None:
    """All that has left the machine since it was switched on is in the table below: `protocol`, `destination`, `port`, `name`.

    `*` stands for anything, in every cell; name is what DNS was asked for. Protocols: tcp, udp, icmp, icmp6, igmp, arp.
    """
    wanted = _rows(context, "protocol", "destination", "port")
    others = [one.shown for one in context.session.sent() if not any(_is_in_row(one, row) for row in wanted)]
    if others:
        raise DrivingError("this left the machine, too:\n" + "\n".join(others[:50]))


@step("these packets went out")
def _went_out(context: Context) -> None:
    """Wait until something of each row of the table below has left the machine; the table is as that of `packets went only to`."""
    rows = _rows(context, "protocol", "destination", "port")

    def have_all() -> bool:
        found = context.session.sent()
        return all(any(_is_in_row(one, row) for one in found) for row in rows)

    context.session.machine.wait_for("packets of each row of the table", have_all, context.session.patience)


@step('a disk "{name}" of {size:d} MB is attached')
def _attach(context: Context, name: str, size: int) -> None:
    """Plug an empty USB disk in; in Linux it is `/dev/disk/by-id/usb-QEMU_QEMU_HARDDISK_NAME-0:0`."""
    if not re.fullmatch(r"[a-z][a-z0-9]{0,15}", name) or not 0 < size <= 16384:
        raise DrivingError("want a disk with a short name of small letters and digits, and at most 16384 MB")
    context.session.machine.attach_disk(name, context.session.folder / f"disk-{name}", size)


@step('the disk "{name}" is detached')
def _detach(context: Context, name: str) -> None:
    """Pull a USB disk out."""
    context.session.machine.detach_disk(name)


@step("I press the reset button")
def _reset(context: Context) -> None:
    """Restart the machine at once, as a power cut would; disks stay. Who was logged in is not any more."""
    context.session.reset()


@step('I leave with "{command}"')
def _leave(context: Context, command: str) -> None:
    """Run a command after which nobody is logged in any more, as `sudo reboot`."""
    context.session.leave_shell(command)


@step("the machine goes off")
def _goes_off(context: Context) -> None:
    """Wait until the machine has switched itself off."""
    machine = context.session.machine
    machine.wait_for("the end of the machine", lambda: not machine.is_on(), context.session.patience)
    if machine.ended:
        raise DrivingError(f"the machine did not go off: QEMU has broken (exit code {machine.ended})")


@step('in the boot menu, I add "{words}" to the kernel\'s command line')
def _add_words(context: Context, words: str) -> None:
    """Edit the first entry of GRUB's menu on the serial line, and start it. Only if tagged @fresh, or after a restart."""
    serial = context.session.machine.serial
    context.session.wait_for_text("GNU GRUB")
    serial.send("e")
    context.session.wait_for_text("Ctrl-x")
    # Of an entry as our images have them, the third line is that of the kernel: setparams, nothing, linux. The keys are Emacs'.
    serial.send(f"\x0e\x0e\x05 {words}\x18")


@step("Secure Boot is on")
def _secure_boot(context: Context) -> None:
    """The firmware says in its variable SecureBoot that it starts only what is signed."""
    if context.session.run(f"od -An -t u1 -j 4 {_SECURE_BOOT}").text.split() != ["1"]:
        raise DrivingError(f"Secure Boot is not on: {context.session.answer.text.strip()[:300]}")


@step("Secure Boot is off")
def _no_secure_boot(context: Context) -> None:
    """The firmware is a UEFI, and says in its variable SecureBoot that it starts anything, or has no such variable."""
    look = f"test -d /sys/firmware/efi && {{ [ ! -e {_SECURE_BOOT} ] || od -An -t u1 -j 4 {_SECURE_BOOT}; }}"
    answer = context.session.run(look)
    if answer.exit_code or answer.text.split() not in ([], ["0"]):
        raise DrivingError(f"the machine is not one of a UEFI without Secure Boot: {answer.text.strip()[:300]}")


@step("the stick is upgraded by the kit")
def _apply_kit(context: Context) -> None:
    """As root, apply the kit, which is plugged in as a disk, to the partition that the system runs from. Only with @upgrade."""
    upgrade = _upgrade(context)
    context.session.machine.attach_file("kit", upgrade.kit)
    answer = context.session.run(f"sudo -n sh -c {shlex.quote(_APPLY)}")
    if answer.exit_code or not answer.text.rstrip().endswith(f" is {upgrade.target}"):
        raise DrivingError(f"the kit was not applied (exit code {answer.exit_code}); it said:\n{answer.text[-1000:]}")


@step("the image before is running")
def _old_runs(context: Context) -> None:
    """The system says by IMAGE_ID in /etc/os-release that it is the one that is upgraded. Only with @upgrade."""
    _same_image(context, _upgrade(context).source)


@step("the new image is running")
def _new_runs(context: Context) -> None:
    """The system says by IMAGE_ID in /etc/os-release that it is the one that is tested. Only with @upgrade."""
    _same_image(context, _upgrade(context).target)


def _upgrade(context: Context) -> Upgrade:
    if (upgrade := context.session.settings.upgrade) is None:
        raise DrivingError("there is no upgrade to try: the scenario wants the tag @upgrade")
    return upgrade


def _same_image(context: Context, name: str) -> None:
    found = context.session.run('. /etc/os-release && echo "$IMAGE_ID"').text.strip()
    if found != name:
        raise DrivingError(f"{found[:300] or 'a system without IMAGE_ID'} is running, and not {name}")


def _wait_for_screen(context: Context, what: str, is_so: Callable[[], bool]) -> None:
    """Wait, looking at the screen only when it has changed: to read it takes half a second."""
    last: list[bytes] = []

    def has_changed_and_is_so() -> bool:
        pixels = context.session.machine.picture().pixels
        if last == [pixels]:
            return False
        last[:] = [pixels]
        return is_so()

    context.session.machine.wait_for(what, has_changed_and_is_so, context.session.patience)


def _same_output(context: Context, wanted: str) -> None:
    text = context.session.answer.text
    if text not in (wanted, f"{wanted}\n"):
        raise DrivingError(f"want the output {wanted[:500]!r}, it is {text[:500]!r}")


def open_ports(listed: str) -> set[tuple[str, str]]:
    """Read `ss -H -l -n -t -u` (pure): (protocol, port) of what does not listen on loopback alone."""
    found = set()
    for words in (line.split() for line in listed.splitlines()):
        if len(words) >= 5:
            address, _, port = words[4].rpartition(":")
            if not re.match(r"\[?(127\.|::1\]|::ffff:127\.)|[^%]*%lo\Z", address):
                found.add((words[0], port))
    return found


def _same_ports(context: Context, wanted: set[tuple[str, str]]) -> None:
    answer = context.session.run("ss -H -l -n -t -u")
    if answer.exit_code:
        raise DrivingError(f"ss does not tell which ports are open: {answer.text[:300]}")
    found = open_ports(answer.text)
    if found != wanted:
        more, less = (
            ", ".join(f"{name} {port}" for name, port in sorted(ports)) or "none"
            for ports in (found - wanted, wanted - found)
        )
        raise DrivingError(f"open and not wanted: {more}; wanted and not open: {less}")


def _is_in_row(one: Sent, row: dict[str, str]) -> bool:
    cells = {"protocol": one.protocol, "destination": one.destination, "port": str(one.port), "name": one.name}
    return all(fnmatchcase(cells[name], row.get(name, "*")) for name in cells)


def _rows(context: Context, *wanted: str) -> list[dict[str, str]]:
    if context.table is None:
        raise DrivingError(f"want a table below the sentence, with {', '.join(wanted)}")
    rows = [row.as_dict() for row in context.table]
    if any(name not in row for row in rows for name in wanted):
        raise DrivingError(f"the table below the sentence lacks one of {', '.join(wanted)}")
    return rows


def _text(context: Context) -> str:
    if context.text is None:
        raise DrivingError('want a text below the sentence, between lines of """')
    return context.text
