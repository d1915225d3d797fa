"""Boot an image in QEMU and read its serial console until it says what is expected; look at its UEFI structure with xorriso."""

from datetime import datetime

from distwright.jobs.step import (
    Conclusion,
    Earlier,
    Inputs,
    JobKind,
    KindName,
    Plan,
    PlannedCommand,
    Step,
    StepEnd,
    Verdict,
)
from distwright.model import plain
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import Outcome
from distwright.tools.qemu import QEMU

KIND = KindName("image.boot", 1)
MEMORY_MB = 2048
PANIC = "Kernel panic - not syncing"
_INSPECT_TIMEOUT_S = 120

# El Torito must offer both platforms, and the system area an MBR that BIOS boots and a GPT with an EFI system partition.
_INSPECT = """#!/bin/sh
set -eu
xorriso -indev image.iso -report_el_torito plain -report_system_area plain 2>&1 | tee report
grep -q '^El Torito boot img :.*BIOS  y' report
grep -q '^El Torito boot img :.*UEFI  y' report
grep -q '^System area summary: MBR protective-msdos-label .*grub2-mbr .*GPT' report
grep -q '^GPT type GUID *: *2 *28732ac11ff8d211ba4b00a0c93ec93b' report
"""

# inputs: image, name, iso, vmlinuz (canary for the accelerator), tools (a root), firmware, expect, timeout_s.


def plan_inspect(inputs: Inputs, _earlier: Earlier) -> Plan:
    """Plan the look at the boot structures."""
    command = PlannedCommand(("./inspect.sh",), _INSPECT_TIMEOUT_S, root=plain.digest(inputs, "tools"))
    return Plan((command,), place={"image.iso": plain.digest(inputs, "iso")}, write={"inspect.sh": _INSPECT})


def plan_boot(inputs: Inputs, _earlier: Earlier) -> Plan:
    """Plan the boot: no network, the ISO as a CD, the serial console as output; it ends when the text appears."""
    argv = (
        QEMU, "-accel", "{accel:vmlinuz}", "-m", str(MEMORY_MB), "-smp", "2", "-display", "none", "-nic", "none",
        "-serial", "stdio", "-monitor", "none", "-no-reboot",
        "-drive", "file={work}/image.iso,media=cdrom,format=raw,readonly=on", "-boot", "d",
    )  # fmt: skip
    command = PlannedCommand(argv, plain.number(inputs, "timeout_s"), until=plain.text(inputs, "expect"), never=PANIC)
    place = {"image.iso": plain.digest(inputs, "iso"), "vmlinuz": plain.digest(inputs, "vmlinuz")}
    return Plan((command,), place=place, programs=("qemu-system-x86",))


def judge_boot(end: StepEnd) -> Verdict:
    """Say whether the expected text appeared; if not, show the last lines of the console."""
    ended = end.ends[-1]
    if not ended.cut and ended.exit_code == 0:
        return Verdict(Outcome.OK, "the console showed what was expected")
    last = " | ".join(ended.tail[-5:]) or "nothing"
    why = ended.cut or f"QEMU ended with exit {ended.exit_code}"
    outcome = Outcome.TIMED_OUT if ended.cut.startswith("time limit") else Outcome.FAILED
    return Verdict(
        outcome, f"the image did not show {end.plan.commands[-1].until!r}: {why}; last on the console: {last}"
    )


def conclude(inputs: Inputs, _earlier: Earlier, now: datetime, job: int) -> Conclusion:
    """Announce the boot."""
    body = {key: inputs[key] for key in ("image", "name", "iso", "firmware")}
    event = Event(EventKind.IMAGE_BOOTED, now, plain.text(inputs, "name"), body, job)
    return Conclusion({"expect": inputs["expect"]}, f"booted, and the console showed {inputs['expect']!r}", [event])


IMAGE_BOOT = JobKind(KIND, (Step("inspect", plan_inspect), Step("boot", plan_boot, judge_boot, repeat=True)), conclude)
