"""Two small live systems on sticks, and the kit between them, made by the very scripts of the job on this machine's programs."""

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.habits.samples import EPOCH, INPUTS
from tests.worlds.installation import WorldContext, make_context

from distwright.images.iso import boot_menu, plan_squashfs
from distwright.images.kits import cut_root, plan_make, plan_prove, plan_survey
from distwright.images.usb import ESP_SECTOR, plan_usb
from distwright.jobs.step import Inputs, Plan, StepResult
from distwright.model import plain
from distwright.model.digests import Json, Sha256, sha256_of
from distwright.store.objects import FileObjects

OLD, NEW = "petrel-amd64-0.9", "petrel-amd64-1.0"
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "SOURCE_DATE_EPOCH": str(EPOCH),
}
MTOOLS = {"MTOOLS_SKIP_CHECK": "1", "MTOOLSRC": "/dev/null"}
KIT_INPUTS: Inputs = INPUTS["image.kit"]
ORDER: Inputs = plain.mapping(KIT_INPUTS, "order")
ROOT = sha256_of(b"no root: the programs are this machine's")


@dataclass(frozen=True, slots=True)
class Node:
    """What a tree has at a path. kind: of tarfile. content: of a file; target: of a link. attributes: extended ones."""

    kind: bytes = tarfile.REGTYPE
    content: bytes = b""
    target: str = ""
    mode: int = 0o644
    owner: int = 0
    mtime: int = EPOCH - 1000
    attributes: Mapping[str, str] | None = None


Tree = Mapping[str, Node]


def tree_tar(tree: Tree) -> bytes:
    """Pack a tree as a customised root is packed: folders before what is in them, names in order, PAX headers."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, node in sorted(tree.items()):
            member = tarfile.TarInfo(f"./{path}")
            member.type, member.mode, member.uid, member.gid, member.mtime = (
                node.kind, node.mode, node.owner, node.owner, node.mtime,
            )  # fmt: skip
            member.linkname, member.size = node.target, len(node.content)
            if node.kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
                member.devmajor, member.devminor = 1, 3
            member.pax_headers = {f"SCHILY.xattr.{name}": value for name, value in (node.attributes or {}).items()}
            tar.addfile(member, io.BytesIO(node.content))
    return out.getvalue()


def carry_out(plan: Plan, folder: Path, objects: FileObjects) -> dict[str, Sha256]:
    """Do what a plan says, as a runner does but without its root; raise AssertionError with what was printed if that fails."""
    folder.mkdir(parents=True)
    for name, digest in plan.place.items():
        objects.place(digest, folder / name)
    for name, text in plan.write.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    for command in plan.commands:
        ended = subprocess.run(
            command.argv, cwd=folder, env={**ENVIRONMENT, **dict(command.environment)}, check=False, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stdout
    return {name: objects.put_file(folder / file) for name, file in plan.collect.items()}


def squashfs_of(tar: Sha256, folder: Path, objects: FileObjects, order: Inputs = ORDER) -> Path:
    """Make the squashfs of a root as an image build does."""
    steps = {"tools": StepResult({"root": ROOT}), "customise": StepResult({"root": tar})}
    carry_out(plan_squashfs(order, steps), folder, objects)
    return folder / "filesystem.squashfs"


def live_files(name: str, squashfs: bytes, kernel: bytes, initrd: bytes) -> dict[str, bytes]:
    """Give the files of a live partition, as the USB image has them."""
    mark = sha256_of(squashfs + kernel + initrd)[:32]
    return {
        "EFI/BOOT/BOOTX64.EFI": b"shim",
        "EFI/BOOT/grubx64.efi": f"grub of {name}".encode(),
        "boot/grub/grub.cfg": boot_menu(ORDER).replace("@ID@", mark).encode(),
        ".disk/info": f"{name}\n".encode(),
        f".disk/id/{mark}": b"",
        "live/filesystem.squashfs": squashfs,
        "live/vmlinuz": kernel,
        "live/initrd.img": initrd,
    }


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files below a folder."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def read_files(folder: Path) -> dict[str, bytes]:
    """Read all files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def make_stick(files: Mapping[str, bytes], folder: Path, *, mib: int = 36, kept: bytes = b"") -> Path:
    """Make a stick of a live partition alone, where the USB image has it, and of bytes behind it that are kept."""
    write_files(folder / "files", files)
    stick = folder / "usb.img"
    with stick.open("wb") as file:
        file.truncate(ESP_SECTOR * 512 + (mib << 20))
    place = ("-i", f"{stick}@@{ESP_SECTOR * 512}")
    tops = sorted({str(folder / "files" / path.partition("/")[0]) for path in files})
    for argv in (
        ("mkfs.vfat", "--invariant", f"--offset={ESP_SECTOR}", "-F", "32", "-s", "1", str(stick), str(mib << 10)),
        ("mcopy", *place, "-s", "-Q", *tops, "::/"),
    ):
        subprocess.run(argv, check=True, capture_output=True, env={**ENVIRONMENT, **MTOOLS})
    with stick.open("ab") as file:
        file.write(kept)
    return stick


def stick_files(stick: Path, folder: Path) -> dict[str, bytes]:
    """Read the live partition of a stick."""
    folder.mkdir()
    argv = ("mcopy", "-s", "-n", "-Q", "-i", f"{stick}@@{ESP_SECTOR * 512}", "::*", f"{folder}/")
    subprocess.run(argv, check=True, capture_output=True, env={**ENVIRONMENT, **MTOOLS})
    return read_files(folder)


def usb_image(order: Inputs, squashfs: bytes, kernel: bytes, initrd: bytes, folder: Path, objects: FileObjects) -> Path:
    """Make the USB image of a live system as an image build does."""
    steps = {
        "tools": StepResult({"root": ROOT}),
        "squashfs": StepResult({"squashfs": objects.put(squashfs)}),
        "initrd": StepResult({"vmlinuz": objects.put(kernel), "initrd": objects.put(initrd)}),
    }
    carry_out(plan_usb(order, steps), folder, objects)
    return folder / "usb.img"


@dataclass
class Upgrading:
    """Two live systems below a folder, by their trees, and what the steps of a kit make of them."""

    folder: Path
    old: Tree
    new: Tree
    order: Inputs
    kernels: tuple[bytes, bytes] = (b"kernel 1", b"kernel 2")
    initrds: tuple[bytes, bytes] = (b"initrd 1", b"initrd 2")
    mib: tuple[int, int] = (36, 36)

    @cached_property
    def context(self) -> WorldContext:
        """Give the installation that makes the kit."""
        return make_context(self.folder / "state")

    @property
    def objects(self) -> FileObjects:
        """Give its objects."""
        assert isinstance(self.context.objects, FileObjects)
        return self.context.objects

    @cached_property
    def root(self) -> Sha256:
        """Give the tar of the new root."""
        return self.objects.put(tree_tar(self.new))

    @cached_property
    def systems(self) -> tuple[dict[str, bytes], dict[str, bytes]]:
        """Give the files of both live partitions."""
        tars = (self.objects.put(tree_tar(self.old)), self.root)
        packed = [
            squashfs_of(tar, self.folder / f"squashfs-{number}", self.objects, self.order).read_bytes()
            for number, tar in enumerate(tars)
        ]
        old, new = (
            live_files(name, *parts)
            for name, *parts in zip((OLD, NEW), packed, self.kernels, self.initrds, strict=True)
        )
        return old, new

    @cached_property
    def sticks(self) -> tuple[Path, Path]:
        """Give both USB images."""
        old, new = (
            make_stick(files, self.folder / f"stick-{number}", mib=self.mib[number], kept=b"what is kept" * 100)
            for number, files in enumerate(self.systems)
        )
        return old, new

    @cached_property
    def inputs(self) -> Inputs:
        """Give the inputs of the job."""
        old, new = (str(self.objects.put_file(stick)) for stick in self.sticks)
        source: dict[str, Json] = {**plain.mapping(KIT_INPUTS, "from"), "usb": old}
        return {**KIT_INPUTS, "from": source, "to": {"usb": new}, "order": self.order}

    @cached_property
    def earlier(self) -> dict[str, StepResult]:
        """Give the results of the steps up to the kit."""
        steps = {"tools": StepResult({"root": ROOT}), "customise": StepResult({"root": self.root})}
        steps["survey"] = StepResult(carry_out(plan_survey(self.inputs, steps), self.folder / "survey", self.objects))
        steps["cut"] = cut_root(self.context, self.inputs, steps)
        steps["make"] = StepResult(carry_out(plan_make(self.inputs, steps), self.folder / "make", self.objects))
        return steps

    @cached_property
    def kit(self) -> Path:
        """Give the kit, as a file."""
        return self.objects.local_path(self.earlier["make"].outputs["kit"])

    def prove(self) -> None:
        """Try it as the job does; raise AssertionError if the result is not the new image's."""
        carry_out(plan_prove(self.inputs, self.earlier), self.folder / "prove", self.objects)

    def unpacked(self) -> Path:
        """Unpack the kit as a device does; give the folder."""
        target = self.folder / "unpacked"
        if not target.exists():
            target.mkdir()
            subprocess.run(("tar", "-xf", str(self.kit), "-C", str(target)), check=True)
        return target / "kit"


def apply_to(kit: Path, live: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Apply an unpacked kit to a folder, with a device's programs and no others of ours."""
    work = live.with_name(f"{live.name}-tmp")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    return subprocess.run(
        (str(kit / "apply"), str(live)), check=False, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env={"PATH": os.defpath, "TMPDIR": str(work), **more},
    )  # fmt: skip
