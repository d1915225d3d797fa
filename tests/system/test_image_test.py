"""Petrel's features, run by the jobs that users get, on the image as it is built and on images that break one promise each.

Under emulation an image starts in a minute or two, and all scenarios of one take some minutes more: so all mutants are tried
with EVERY=1, and three of them else.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.system.line import EXAMPLE, Line, keep_in_cache, state_folder
from tests.worlds.example import with_features
from tests.worlds.kits import OLD
from tests.worlds.mutants import (
    MUTANTS,
    UPGRADE,
    Mutant,
    changed_image,
    kit_that_does_nothing,
    mutated,
    with_unsigned_loader,
)
from tests.worlds.processes import wait_until
from tests.worlds.servers import free_port, our_server
from tests.worlds.upgraded import upgrade_to
from tests.worlds.work import Workshop, kind_of

from distwright.app import App, open_app
from distwright.cli.watch import TerminalWatcher
from distwright.images.build import IMAGE_BUILD
from distwright.images.initrd import plan_initrd
from distwright.images.scenarios import Chosen, last_built, orders_of_tests
from distwright.images.testing import KIND, QUESTION
from distwright.jobs.order import JobOrder
from distwright.jobs.step import Step
from distwright.model.digests import Sha256, sha256_of
from distwright.model.outcomes import Outcome
from distwright.model.records import Job, Trial
from distwright.store.jobs import find_job
from distwright.store.trials import list_trials
from distwright.worker.execute import execute

pytestmark = [pytest.mark.system, pytest.mark.full]
TIMEOUT_S = 3 * 3600
HOST = "10.0.2.2"  # how a machine in QEMU reaches loopback
FIRMWARES = ("bios", "secure-boot")
SOME = (
    "all that shall run does",
    "nobody can reach it but by names of the local network",
    "packages are all configured",
)
TRIED = [one for one in MUTANTS if os.environ.get("EVERY") or one.scenario in SOME]


@dataclass(frozen=True)
class Promised:
    """A state with Petrel built and tested. port: of its site on loopback. exit_code: of the demo that did so."""

    line: Line
    example: Path
    port: int
    exit_code: int
    said: str

    def app(self) -> App:
        return open_app(str(self.line.state))

    @property
    def folder(self) -> Path:
        """What was published of the image."""
        [row] = self.line.answer("image", "list")
        return Path(row["files"])


@pytest.fixture(scope="module")
def tested() -> Iterator[Promised]:
    """Carry Petrel from git to an image that was tested, as its owner would with features switched on."""
    with state_folder() as folder:
        port = free_port()
        example = with_features(EXAMPLE, folder / "petrel", FIRMWARES, url=f"http://{HOST}:{port}")
        line = Line(folder / "state")
        done = line.call("demo", str(example), "--state", str(line.state), timeout_s=TIMEOUT_S)
        yield Promised(line, example, port, done.returncode, done.stdout + done.stderr)
        keep_in_cache(line.state)


def ends_of(app: App, job: int) -> Mapping[str, Trial]:
    """Give how each scenario of a test ended. Its subject is `IMAGE (FIRMWARE) FEATURE: SCENARIO`."""
    with app.database.read() as tx:
        return {
            trial.subject.partition(") ")[2].partition(": ")[2]: trial
            for trial in list_trials(tx, QUESTION)
            if trial.job == job and trial.outcome is not Outcome.SKIPPED
        }


def jobs_of(line: Line) -> dict[str, dict[str, Any]]:
    rows = line.answer("job", "list")
    return {row["title"].rpartition(" (")[2].rstrip(")"): row for row in rows if row["kind"] == KIND.name}


def test_petrel_keeps_its_promises_with_each_firmware(tested: Promised) -> None:
    assert tested.exit_code == 0, tested.said[-3000:]
    rows = jobs_of(tested.line)
    assert {firmware: row["state"] for firmware, row in rows.items()} == dict.fromkeys(FIRMWARES, "ok")
    app = tested.app()
    by_firmware = {firmware: ends_of(app, int(row["job"])) for firmware, row in rows.items()}
    app.database.close()
    promised = {one.scenario for one in MUTANTS}
    only = {one.scenario for one in MUTANTS if one.firmware != "bios"}
    ended = {firmware: {name: end.outcome for name, end in ends.items()} for firmware, ends in by_firmware.items()}
    assert ended == {
        "bios": dict.fromkeys(promised - only, Outcome.OK),
        "secure-boot": dict.fromkeys(promised, Outcome.OK),
    }
    for firmware in FIRMWARES:
        report = tested.folder.parent / f"{tested.folder.name}-test-{firmware}" / "report.html"
        text = report.read_text()
        assert "data:image/png;base64," in text, "the pictures that features keep"
        assert "the-greeting.png" in text


def test_tested_again_nothing_is_done(tested: Promised) -> None:
    jobs = tested.line.answer("job", "list")
    done = tested.line.call("demo", str(tested.example), "--state", str(tested.line.state), timeout_s=TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    known = {row["job"] for row in jobs}
    assert [
        row["kind"]
        for row in tested.line.answer("job", "list")
        if row["job"] not in known and row["kind"] != "archive.record"
    ] == []


def test_initrd_is_the_one_that_the_whole_root_gives(tested: Promised) -> None:
    """What is cut out of the image for it has all that it is made from."""
    app = tested.app()
    built = [row for row in tested.line.answer("job", "list") if row["kind"] == "image.build"]
    with app.database.read() as tx:
        job = find_job(tx, int(built[0]["job"]))
    assert job is not None
    before = [step for step in IMAGE_BUILD.steps if step.name in ("tools", "root", "customise")]
    kind = kind_of(*before, Step("initrd", lambda inputs, earlier: plan_initrd({**inputs, "form": 2}, earlier)))
    ending = execute(kind, job.inputs, Workshop(app.paths, app.database, app.objects, app.sandbox).context())
    assert ending.outcome is Outcome.OK, ending.message
    [published] = tested.folder.glob("*.initrd.img")
    assert (ending.outputs or {})["initrd/initrd"] == sha256_of(published.read_bytes())
    app.database.close()


def test_it_starts_over_the_network_from_what_is_published(tested: Promised, tmp_path: Path) -> None:
    """As a site does it: the network card asks DHCP and TFTP, and a line of iPXE there names the menu."""
    name, serial = tested.folder.name, tmp_path / "serial.txt"
    (tmp_path / "tftp").mkdir()
    (tmp_path / "tftp" / "start.ipxe").write_text(
        f"#!ipxe\nchain http://{HOST}:{tested.port}/images/{name}/{name}.ipxe\n"
    )
    argv = (
        "qemu-system-x86_64", "-accel", "tcg", "-m", "2048", "-smp", "1", "-display", "none", "-monitor", "none", "-no-reboot",
        "-serial", f"file:{serial}", "-netdev", f"user,id=net0,tftp={tmp_path / 'tftp'},bootfile=start.ipxe",
        "-device", "virtio-net-pci,netdev=net0,bootindex=0",
    )  # fmt: skip
    with our_server(tested.line.state, tested.port), subprocess.Popen(argv) as machine:
        try:
            wait_until(lambda: serial.exists() and b"Petrel greets you" in serial.read_bytes(), "Petrel greets", 900)
        finally:
            machine.kill()


def judged(app: App, iso: Path, firmware: str, **changed: Any) -> Job:
    """Test another image as the one that was built."""
    with app.database.read() as tx:
        built = last_built(tx, "petrel")
    assert built is not None
    [order] = orders_of_tests(app.database, app.ground(), built, Chosen((firmware,), workers=2))
    inputs = {**order.inputs, "iso": str(app.objects.put_file(iso)), **changed}
    job = app.place(JobOrder(KIND, inputs, order.title, holds=order.holds))
    app.run_until_idle(TerminalWatcher(app.paths.job_log, follow=False), [job])
    with app.database.read() as tx:
        found = find_job(tx, job.id)
    assert found is not None
    return found


@pytest.mark.parametrize("mutant", TRIED, ids=lambda mutant: mutant.scenario)
def test_mutant_turns_its_scenario_red_and_no_other(tested: Promised, mutant: Mutant, tmp_path: Path) -> None:
    [iso] = tested.folder.glob("*.iso")
    app = tested.app()
    job = judged(app, mutated(iso, mutant, tmp_path), mutant.firmware)
    ends = ends_of(app, job.id)
    red = {name: end.message for name, end in ends.items() if end.outcome is not Outcome.OK}
    assert set(red) == {mutant.scenario}, red
    assert job.outcome is Outcome.FAILED
    report = tested.folder.parent / f"{tested.folder.name}-test-{mutant.firmware}" / "report.html"
    assert mutant.scenario in report.read_text()
    app.database.close()


@pytest.mark.skipif(not os.environ.get("EVERY"), reason="some minutes under emulation: EVERY=1")
def test_a_loader_without_a_signature_starts_but_where_only_what_is_signed_may(
    tested: Promised, tmp_path: Path
) -> None:
    """No scenario can run where shim refuses GRUB: the image is red by its start. Where nobody asks, all is well."""
    [iso] = tested.folder.glob("*.iso")
    app, made = tested.app(), with_unsigned_loader(iso, tmp_path)
    refused = judged(app, made, "secure-boot", boot_limit_s=180)
    assert (refused.outcome, ends_of(app, refused.id)) == (Outcome.FAILED, {})
    assert "the image did not start" in (refused.message or "")
    left = (refused.outputs or {})["left"]
    assert isinstance(left, dict)
    assert b"Linux version" not in app.objects.read(left["console"])
    assert app.objects.read(left["screen"]).startswith(b"\x89PNG")
    started = judged(app, made, "uefi")
    assert {end.outcome for end in ends_of(app, started.id).values()} == {Outcome.OK}, started.message
    app.database.close()


@pytest.fixture(scope="module")
def upgrade(tested: Promised, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Sha256]:
    """Give what an upgrade to Petrel is tried with: the stick before, and the kit."""
    tmp_path = tmp_path_factory.mktemp("upgrade")
    app = tested.app()
    built = [row for row in tested.line.answer("job", "list") if row["kind"] == "image.build"]
    with app.database.read() as tx:
        job = find_job(tx, int(built[0]["job"]))
    assert job is not None
    kind = kind_of(*(step for step in IMAGE_BUILD.steps if step.name in ("tools", "root", "customise")))
    ending = execute(kind, job.inputs, Workshop(app.paths, app.database, app.objects, app.sandbox).context())
    root = app.objects.local_path(Sha256(str((ending.outputs or {})["customise/root"])))
    [kernel], [initrd] = (tested.folder.glob(pattern) for pattern in ("*.vmlinuz", "*.initrd.img"))
    one = upgrade_to(tested.folder.name, root, kernel.read_bytes(), initrd.read_bytes(), tmp_path / "upgrade")
    made = {"usb": app.objects.put_file(one.sticks[0]), "kit": app.objects.put_file(one.kit)}
    app.database.close()
    return made


def test_a_stick_with_an_earlier_petrel_becomes_this_one_by_its_kit(
    tested: Promised, upgrade: Mapping[str, Sha256]
) -> None:
    [iso] = tested.folder.glob("*.iso")
    app = tested.app()
    given = {"from": OLD, "usb": str(upgrade["usb"]), "kit": str(upgrade["kit"])}
    done = judged(app, iso, "bios", upgrade=given, chosen_scenarios=[UPGRADE])
    assert {name: end.outcome for name, end in ends_of(app, done.id).items()} == {UPGRADE: Outcome.OK}, done.message
    app.database.close()


@pytest.mark.skipif(not os.environ.get("EVERY"), reason="some minutes under emulation: EVERY=1")
def test_kit_that_does_nothing_turns_the_upgrade_red_and_no_other(
    tested: Promised, upgrade: Mapping[str, Sha256], tmp_path: Path
) -> None:
    [iso] = tested.folder.glob("*.iso")
    app = tested.app()
    kit = kit_that_does_nothing(app.objects.local_path(upgrade["kit"]), tested.folder.name, tmp_path / "kit.tar")
    given = {"from": OLD, "usb": str(upgrade["usb"]), "kit": str(app.objects.put_file(kit))}
    job = judged(app, iso, "bios", upgrade=given)
    red = {name: end.message for name, end in ends_of(app, job.id).items() if end.outcome is not Outcome.OK}
    assert set(red) == {UPGRADE}, red
    assert job.outcome is Outcome.FAILED
    app.database.close()


def test_image_without_a_kernel_leaves_its_console_and_its_screen(tested: Promised, tmp_path: Path) -> None:
    [iso] = tested.folder.glob("*.iso")
    app = tested.app()
    job = judged(app, changed_image(iso, tmp_path / "none.iso", "-rm", "/live/vmlinuz", "--"), "bios", boot_limit_s=60)
    assert job.outcome is Outcome.FAILED
    assert job.message is not None
    assert "the image did not start" in job.message
    left = (job.outputs or {})["left"]
    assert isinstance(left, dict)
    console, screen = (app.objects.read(left[name]) for name in ("console", "screen"))
    assert b"/live/vmlinuz' not found" in console
    assert screen.startswith(b"\x89PNG")
    app.database.close()
