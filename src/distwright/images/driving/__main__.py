"""`python3 -m driving boot` saves a machine that has started; `python3 -m driving scenarios` runs features. In the work folder.

Exit codes: 0 done (scenarios may have failed: that is in their results), 1 the image did not start, or nothing can be run.
"""

import contextlib
import importlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import hooks
from .hardware import Hardware
from .machine import Machine
from .patience import DrivingError
from .results import Results, Scenario
from .session import BASE_FEATURES, Settings, is_quarantined, write_whole

_ENVIRONMENT = "from driving.hooks import after_scenario, after_step, before_all, before_scenario\n"
_STEPS = """import behave
from driving.steps import STEPS

for sentence, function in STEPS:
    behave.step(sentence)(function)
"""
_UNKNOWN_S = 60.0


def boot(work: Path) -> int:
    """Start the image, and save it when it shows what is expected; if it does not, keep its last words and its screen."""
    settings, out = Settings.read(work), work / "out"
    out.mkdir(exist_ok=True)
    machine = Machine.start(settings.hardware, work / "machine")
    try:
        machine.wait_for(
            f"{settings.expect!r} on the serial line",
            lambda: machine.serial.find(settings.expect),
            machine.patience(settings.boot_limit_s),
        )
        (out / "screen.png").write_bytes(machine.picture().to_png())
        made = made_by(machine, settings.hardware)
        machine.save(work / "saved")
        write_whole(work / "saved" / "made.json", json.dumps(made))
    except DrivingError as error:
        if machine.is_on():
            (out / "screen.png").write_bytes(machine.picture().to_png())
        print(error)  # noqa: T201  # the last line is what the job says
        return 1
    finally:
        machine.stop()
        (out / "serial.txt").write_text(machine.serial.text)
    return 0


def made_by(machine: Machine, hardware: Hardware) -> dict[str, object]:
    """Say what a saved machine can go on with: the QEMU and the accelerator that it was made with."""
    return {"qemu": machine.qmp.execute("query-version"), "accelerator": hardware.accelerator}


def usable(saved: Path, hardware: Hardware) -> bool:
    """Say whether the saved machine in a folder was made with the accelerator that this machine has."""
    try:
        made = json.loads((saved / "made.json").read_text())
    except (OSError, ValueError):
        return False
    return isinstance(made, dict) and made.get("accelerator") == hardware.accelerator


def scenarios(work: Path) -> int:
    """Run the scenarios that the settings choose, dealt over workers, each from the saved machine."""
    given = json.loads((work / "settings.json").read_text())
    settings, features, out = Settings.read(work), work / "features", work / "out"
    out.mkdir(exist_ok=True)
    write_beside(features)
    note_quarantine(work)
    known = listed(features, given.get("features", []), given.get("scenarios", []), hooks.base_quarantine(work))
    if not known:
        print("no scenario is chosen")  # noqa: T201  # a program: this is its log
        return 1
    saved = work / "saved" if usable(work / "saved", settings.hardware) else None
    hands = deal(known, given.get("seconds", {}), given.get("workers", 1))
    for number, hand in enumerate(hands):
        Results(out, number).expect(hand)
    workers = [_worker(work, saved, number, hand) for number, hand in enumerate(hands)]
    ends = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in workers]
    return max(ends)


def write_beside(features: Path) -> None:
    """Write what binds behave to our machine; no folder of features has files of these names (images/scenarios.py)."""
    (features / "steps").mkdir(exist_ok=True)
    (features / "environment.py").write_text(_ENVIRONMENT)
    (features / "steps" / "distwright.py").write_text(_STEPS)


def note_quarantine(work: Path) -> None:
    """Write down what is in quarantine on the base of a topic, if the image is of one; a file that has errors names nothing."""
    if not (work / BASE_FEATURES).is_dir():
        return
    named: list[str] = []
    for file in (work / BASE_FEATURES).glob("*.feature"):
        with contextlib.suppress(DrivingError, ValueError, LookupError):
            named += [one.name for one in listed_in([file]) if one.is_quarantined]
    write_whole(work / hooks.QUARANTINE, json.dumps(sorted(named)))


def listed(
    features: Path,
    wanted_features: Sequence[str],
    wanted_scenarios: Sequence[str],
    quarantine: Sequence[str] | None = None,
) -> list[Scenario]:
    """List scenarios in order of file and line, all or those of the names. Raises DrivingError for a feature that has errors.

    quarantine: what is in quarantine on the base of the topic, None if there is none.
    """
    return listed_in(sorted(features.glob("*.feature")), wanted_features, wanted_scenarios, quarantine)


def listed_in(
    files: Sequence[Path], wanted_features: Sequence[str] = (), wanted_scenarios: Sequence[str] = (),
    quarantine: Sequence[str] | None = None,
) -> list[Scenario]:  # fmt: skip
    """List scenarios of files, as `listed` does."""
    parser: Any = importlib.import_module("behave.parser")
    found = []
    for file in files:
        try:
            feature = parser.parse_file(str(file))
        except parser.ParserError as error:
            raise DrivingError(f"{file.name}: {error}") from error
        if feature is None or (wanted_features and not {feature.name, file.name, file.stem} & set(wanted_features)):
            continue
        found += [
            Scenario(
                feature.name,
                one.name,
                hooks.place_of(one),
                is_quarantined=is_quarantined(one.effective_tags, f"{feature.name}: {one.name}", quarantine),
            )
            for one in feature.walk_scenarios()
            if not wanted_scenarios or one.name in wanted_scenarios
        ]
    return found


def deal(known: Sequence[Scenario], seconds: Mapping[str, float], workers: int) -> list[list[Scenario]]:
    """Deal scenarios to workers (pure): the longest first, to who has least to do; each hand is in the order of the files.

    seconds: `FEATURE: SCENARIO` -> how long it took last time; one that is not known is taken for a minute.
    """
    hands: list[list[Scenario]] = [[] for _ in range(max(1, min(workers, len(known))))]
    loads = [0.0] * len(hands)
    order = {one.at: number for number, one in enumerate(known)}
    for one in sorted(known, key=lambda one: -seconds.get(f"{one.feature}: {one.scenario}", _UNKNOWN_S)):
        least = loads.index(min(loads))
        hands[least].append(one)
        loads[least] += seconds.get(f"{one.feature}: {one.scenario}", _UNKNOWN_S)
    return [sorted(hand, key=lambda one: order[one.at]) for hand in hands]


def _worker(work: Path, saved: Path | None, number: int, hand: Sequence[Scenario]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.environ |= {hooks.WORK: str(work), hooks.SAVED: str(saved or ""), hooks.WORKER: str(number)}
        behave: Any = importlib.import_module("behave.__main__")
        places = [str(work / "features" / one.at) for one in hand]
        behave.main(["--no-capture", "--no-capture-stderr", "--no-logcapture", "--no-color", "--format=plain", *places])
        code = 0  # what failed is in the results
    finally:
        sys.stdout.flush()
        os._exit(code)


def main(words: Sequence[str]) -> int:
    """Do what the first word says, in the folder where we are."""
    chosen = {"boot": boot, "scenarios": scenarios}.get(words[0] if words else "")
    if chosen is None:
        print("usage: python3 -m driving boot|scenarios")  # noqa: T201  # a program: this is its log
        return 2
    try:
        return chosen(Path.cwd())
    except DrivingError as error:
        print(error)  # noqa: T201  # a program: this is its log
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
