"""The scripts of an image's second build, run by real programs on small trees: circumstances are others, differences are named."""

import gzip
import os
import stat
import subprocess
import tarfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.habits.samples import EARLIER, INPUTS
from tests.system.line import state_folder
from tests.worlds.initrds import cpio
from tests.worlds.installation import config
from tests.worlds.rootfs import tool_root_tar
from tests.worlds.work import kind_of, workshop

from distwright.checks.causes import Markers
from distwright.checks.image_difference import INITRD, SQUASHFS, compare_isos, plan_look
from distwright.checks.image_rebuild import IMAGE_REBUILD
from distwright.checks.image_variations import image_variation, varied, varied_step
from distwright.images.build import IMAGE_BUILD
from distwright.images.forms import form_inputs
from distwright.images.recipe import Recipe, includes_tar
from distwright.images.rootfs import plan_customise
from distwright.jobs.step import Action, Context, Earlier, Inputs, Plan, PlannedCommand, Step, StepResult
from distwright.model import plain
from distwright.model.digests import Json, Sha256, sha256_of
from distwright.model.outcomes import Outcome
from distwright.store.objects import FileObjects
from distwright.tools.sandbox import sandbox_for
from distwright.worker.execute import execute

pytestmark = pytest.mark.system
# Where tar, if asked, finds device nodes in a "blok" and not in a block.
VARIATION = replace(image_variation(sha256_of(b"build"), "petrel"), locale="cs_CZ.UTF-8")
REBUILD = {**INPUTS["image.rebuild"], "variation": VARIATION.to_json()}
BUILD: Inputs = {
    **INPUTS["image.build"], **form_inputs(config(), "petrel", "1.0"), "outputs": ["iso", "usb"], "persistence_mb": 16,
}  # fmt: skip
ROOT = sha256_of(b"root")
AS_ROOT = ("unshare", "--map-root-user", "--mount", "--uts", "--ipc")
# The machine's own root stands for that of the tools; its /etc is a copy that nobody else sees.
OWN_ETC = 'cp -a /etc/. "$1" 2>/dev/null; mount --bind "$1" /etc; shift; exec "$@"'
EPOCH = 1_704_888_000


def run(argv: tuple[str, ...], folder: Path, environment: Mapping[str, str] | None = None) -> str:
    whole = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC", **(environment or {})}
    done = subprocess.run(
        argv, cwd=folder, env=whole, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def fill(folder: Path, plan: Plan) -> None:
    for name, text in plan.write.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        (folder / name).chmod(0o755 if text.startswith("#!") else 0o644)


@pytest.fixture(scope="module")
def circumstances(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the clock and the locale as the environment of the compiler makes them."""
    folder = tmp_path_factory.mktemp("made")
    step = next(step for step in IMAGE_REBUILD.steps if isinstance(step, Step) and step.name == "circumstances")
    fill(folder, step.plan(REBUILD, EARLIER))
    run(("./make.sh",), folder)
    return folder / "circumstances.tar"


def told_in(step: str, circumstances: Path, folder: Path) -> dict[str, str]:
    """Run a program that tells all it sees as a program of a step, in a root; give that."""
    probe = """#!/bin/sh
echo "clock=$(date +%s)"
echo "clock of others=$(env -i date +%s)"
echo "zone=$(date +%Z)"
echo "umask=$(umask)"
echo "cpus=$(nproc)"
echo "host=$(uname -n)"
echo "kernel=$(uname -r)"
echo "home=$HOME"
echo "user=$USER"
echo "locale=$LC_ALL $(locale -k decimal_point)"
"""
    plan = varied(
        step, Plan((PlannedCommand(("./probe.sh",), 60, root=ROOT),), write={"probe.sh": probe}), VARIATION, ROOT
    )
    fill(folder, plan)
    (folder / "circumstances.tar").write_bytes(circumstances.read_bytes())
    (folder / "etc").mkdir()
    [command] = plan.commands
    said = run(
        (*AS_ROOT, "sh", "-c", OWN_ETC, "sh", str(folder / "etc"), *command.argv), folder, dict(command.environment)
    )
    return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)


def test_all_that_a_program_of_a_step_sees_is_another(circumstances: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    told = told_in("squashfs", circumstances, tmp_path)
    ahead = VARIATION.clock_ahead_s
    for name in ("clock", "clock of others"):
        assert 0 <= int(told.pop(name)) - ahead - int(time.time()) + 60 <= 60, (
            "the clock is ahead, whoever starts the program"
        )
    kernel = told.pop("kernel")
    assert kernel.startswith("2.6."), kernel
    assert told == {
        "zone": VARIATION.timezone_name, "umask": "0077", "cpus": "1", "host": VARIATION.hostname, "home": VARIATION.home,
        "user": VARIATION.user, "locale": f"{VARIATION.locale} decimal_point=\",\"",
    }  # fmt: skip


def test_mkinitramfs_finds_no_library_that_is_not_of_the_image(circumstances: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    told = told_in("initrd", circumstances, tmp_path)
    assert abs(int(told["clock"]) - time.time()) < 3600, "the clock is true there"
    assert told["zone"] == VARIATION.timezone_name


def made_by(step: str, folder: Path, circumstances: Path | None) -> dict[str, str]:
    """Run a step of the build on a small system, as the first build does or as the second; give the sums of what it makes."""
    folder.mkdir(mode=0o755)
    plan = next(one for one in IMAGE_BUILD.steps if isinstance(one, Step) and one.name == step).plan(BUILD, EARLIER)
    if circumstances is not None:
        plan = varied(step, plan, VARIATION, ROOT)
        (folder / "circumstances.tar").write_bytes(circumstances.read_bytes())
    fill(folder, plan)
    for name in plan.place:
        if name == "root.tar":
            (folder / name).write_bytes(tool_root_tar())
        elif name != "circumstances.tar":
            (folder / name).write_bytes(name.encode() * 10_000)
    (folder / "etc").mkdir()
    for command in plan.commands:
        argv = (*AS_ROOT, "sh", "-c", OWN_ETC, "sh", str(folder / "etc"), *command.argv)
        run(argv, folder, dict(command.environment))
    return {name: sha256_of((folder / name).read_bytes()) for name in plan.collect.values()}


@pytest.mark.parametrize("step", ["squashfs", "iso", "usb"])
def test_what_packs_gives_the_same_in_other_circumstances(circumstances: Path, tmp_path: Path, step: str) -> None:
    """The machine's programs stand for those of the tool root."""
    tmp_path.chmod(0o755)
    first = made_by(step, tmp_path / "first", None)
    assert made_by(step, tmp_path / "second", circumstances) == first != {}


@dataclass(frozen=True)
class Customised:
    """What came of the hooks of a recipe. told: by the hook, of what it sees."""

    root: Sha256
    told: dict[str, str]
    names: frozenset[str]


def customised(folder: Path, hook: str, circumstances: Path | None) -> Customised:
    """Run a hook in the sandbox, as the first build does, or as the second one."""
    sandbox = sandbox_for(os.geteuid())
    sandbox.make_folder(folder)
    shop = workshop(folder / "state", sandbox)
    root = shop.objects.put(tool_root_tar())
    tar = None if circumstances is None else shop.objects.put(circumstances.read_bytes())

    def give(_context: Context, _inputs: Inputs, _earlier: Earlier) -> StepResult:
        return StepResult({"root": root} if tar is None else {"root": root, "tar": tar})

    inputs: dict[str, Json] = {
        "epoch": EPOCH, "files": {"hostname": "petrel\n", "hosts": "", "live.sources": "", "os-release-more": ""},
        "includes": shop.objects.put(includes_tar(Recipe(("small",), (), {}), EPOCH)),
        "hooks": {"0000.hook.chroot": shop.objects.put(hook.encode())}, "variation": VARIATION.to_json(),
    }  # fmt: skip
    step = Step("customise", plan_customise)
    made = (step,) if tar is None else (Action("circumstances", give), varied_step(step))
    ending = execute(kind_of(Action("tools", give), Action("root", give), *made), inputs, shop.context())
    assert ending.outcome is Outcome.OK, shop.log()
    found = plain.digest(ending.outputs or {}, "customise/root")
    with tarfile.open(shop.objects.local_path(found)) as packed:
        names = frozenset(packed.getnames())
    told = dict(line.split("=", 1) for line in shop.log().splitlines() if line.startswith(("clock=", "host=")))
    shop.database.close()
    return Customised(found, told, names)


def test_hooks_see_another_clock_and_nothing_of_that_gets_into_the_image(circumstances: Path) -> None:
    quiet = '#!/bin/sh\necho "clock=$(date +%s)"\necho "host=$(uname -n)"\n: >/etc/made\n'
    with state_folder() as folder:
        (folder / "tar").write_bytes(circumstances.read_bytes())
        first = customised(folder / "first", quiet, None)
        second = customised(folder / "second", quiet, folder / "tar")
        other = customised(folder / "third", quiet + "date +%s >/etc/made\n", folder / "tar")
    assert second.root == first.root != other.root
    assert 0 <= int(second.told["clock"]) - int(first.told["clock"]) - VARIATION.clock_ahead_s < 600
    assert (first.told["host"], second.told["host"]) == ("distwright", VARIATION.hostname)
    assert not [name for name in second.names if "preload" in name or "second" in name]


def small_image(folder: Path, files: Mapping[str, bytes], grub: bytes = b"menu\n", initrd: bytes = b"") -> Path:
    """Make a squashfs of files and an ISO around it, by the real programs."""
    tree, iso = folder / "tree", folder / "iso"
    for root, contents in ((tree, files), (iso, {"boot/grub/grub.cfg": grub, INITRD: initrd})):
        for name, content in contents.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        for path in (root, *root.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
            os.utime(path, (EPOCH, EPOCH))
    epoch = {"SOURCE_DATE_EPOCH": str(EPOCH)}
    run(("mksquashfs", str(tree), str(iso / SQUASHFS), "-noappend", "-no-progress", "-all-root"), folder, epoch)
    for path in (iso / "live", iso / SQUASHFS, iso):
        os.utime(path, (EPOCH, EPOCH))
    run(("xorriso", "-as", "mkisofs", "-quiet", "-o", "image.iso", "-volid", "X", "-r", "-J", "iso"), folder, epoch)
    return folder / "image.iso"


def differences(folder: Path, first: Path, second: Path) -> list[str]:
    """Follow two ISOs down as the job does."""
    objects = FileObjects(folder / "objects")
    pair = (objects.put(first.read_bytes()), objects.put(second.read_bytes()))
    work = folder / "work"
    work.mkdir()
    plan = plan_look(EARLIER, pair)
    fill(work, plan)
    for side, iso in (("first", first), ("second", second)):
        (work / f"{side}.iso").write_bytes(iso.read_bytes())
    run((*AS_ROOT, "./look.sh"), work)
    looked: dict[str, Sha256] = {}
    for name, pattern in plan.collect_always.items():
        looked |= {f"{name}/{path.name}": objects.put(path.read_bytes()) for path in work.glob(pattern)}
    found = compare_isos("petrel.iso", pair, looked, objects, Markers.of(VARIATION, "/work"), lambda: None)
    return [one.in_words() for one in found]


PETREL = {"etc/hostname": b"petrel\n", "usr/share/petrel/list": b"a\nb\nc\n" * 100}


def made(folder: Path, name: str, files: Mapping[str, bytes], grub: bytes = b"menu\n", initrd: bytes = b"") -> Path:
    (folder / name).mkdir()
    return small_image(folder / name, files, grub, initrd)


def test_images_that_are_the_same_differ_in_nothing(tmp_path: Path) -> None:
    first, second = (made(tmp_path, name, PETREL) for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
    assert differences(tmp_path, first, second) == []


def test_a_byte_in_a_file_in_the_squashfs_is_named_by_path_and_cause(tmp_path: Path) -> None:
    other = {**PETREL, "etc/hostname": f"{VARIATION.hostname}\n".encode()}
    first, second = made(tmp_path, "first", PETREL), made(tmp_path, "second", other)
    [said] = differences(tmp_path, first, second)
    assert said == (
        f"petrel.iso: {SQUASHFS}: etc/hostname: the content differs at byte 0: 'petrel\\n' against '{VARIATION.hostname}\\n'; "
        f"the host name ({VARIATION.hostname})"
    )


def test_what_is_only_in_one_squashfs_and_what_differs_beside_it_is_named(tmp_path: Path) -> None:
    first = made(tmp_path, "first", PETREL)
    second = made(tmp_path, "second", {**PETREL, "var/log/new": b""}, b"other\n")
    said = differences(tmp_path, first, second)
    assert f"petrel.iso: {SQUASHFS}: var/log/new: only in the second build" in said
    assert said[-1] == "petrel.iso: boot/grub/grub.cfg: the content differs at byte 0: 'menu\\n' against 'other\\n'"


def test_a_file_in_the_initrd_is_named_by_path(tmp_path: Path) -> None:
    early = cpio([("kernel/microcode", stat.S_IFREG | 0o644, b"micro")])
    initrds = [
        early + gzip.compress(cpio([
            ("bin", stat.S_IFLNK | 0o777, b"usr/bin"), ("conf/when", stat.S_IFREG | 0o644, text),
            ("dev/console", stat.S_IFCHR | 0o600, b""),
        ]))
        for text in (b"on 2024-01-10\n", b"on 2025-02-11\n")
    ]  # fmt: skip
    first, second = (
        made(tmp_path, name, PETREL, initrd=one) for name, one in zip(("first", "second"), initrds, strict=True)
    )
    [said] = differences(tmp_path, first, second)
    assert said.startswith(f"petrel.iso: {INITRD}: conf/when: the content differs at byte 6: ")
    assert "a date or a time (the clock" in said


def test_an_initrd_that_nobody_can_read_differs_at_a_byte(tmp_path: Path) -> None:
    first, second = (made(tmp_path, name, PETREL, initrd=name.encode()) for name in ("first", "second"))
    [said] = differences(tmp_path, first, second)
    assert said == f"petrel.iso: {INITRD}: the content differs at byte 0: 'first' against 'second'"


def test_isos_that_differ_in_no_file_differ_at_a_byte(tmp_path: Path) -> None:
    first, second = made(tmp_path, "first", PETREL), tmp_path / "second.iso"
    content = bytearray(first.read_bytes())
    content[100] ^= 1  # in the system area, before the file system
    second.write_bytes(content)
    [said] = differences(tmp_path, first, second)
    assert said.startswith("petrel.iso: the content differs at byte 100: ")


def test_a_plan_of_another_build_is_refused() -> None:
    with pytest.raises(Exception, match="not that of an image"):
        varied("iso", Plan((PlannedCommand(("x",), 1),), write={"circumstances.tar": ""}), replace(VARIATION), ROOT)
