"""The scripts by which a recipe gets into a root before its packages, and onto a medium, run on small trees."""

import io
import os
import re
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.habits.samples import EARLIER, INPUTS

from distwright.images.iso import plan_iso, plan_squashfs
from distwright.images.recipe_files import ImageFile, tar_of
from distwright.images.rootfs import plan_root
from distwright.model.digests import Json, sha256_of

pytestmark = pytest.mark.system
BUILD = INPUTS["image.build"]
SOME = sha256_of(b"some")
EPOCH = 1_704_888_000
DEBCONF = """Config: configdb
Templates: templatedb

Name: config
Driver: File
Filename: {folder}/config.dat

Name: configdb
Driver: Stack
Stack: config

Name: templatedb
Driver: File
Filename: {folder}/templates.dat
"""


def run(argv: tuple[str, ...], folder: Path, environment: Mapping[str, str] | None = None) -> str:
    whole = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **(environment or {})}
    done = subprocess.run(argv, cwd=folder, env=whole, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_answers_reach_debconf_and_early_files_the_root_before_anything_else_does(tmp_path: Path) -> None:
    """The root is this machine's own, entered as mmdebstrap enters one; only debconf's database is another."""
    inputs: dict[str, Json] = {**BUILD, "preseed": {"0000-a.cfg": SOME, "0001-b.cfg": SOME}, "before": SOME}
    work = tmp_path / "work"
    (work / "preseed").mkdir(parents=True)
    target = str(tmp_path / "root").removeprefix("/")
    files = [
        ImageFile(f"{target}/etc/early", b"early\n", is_executable=True),
        ImageFile(f"{target}/etc/link", b"", is_executable=False, link="early"),
    ]
    (work / "before.tar").write_bytes(tar_of(files, EPOCH))
    first = "# why\n  no-such-owner\tno-such/list multiselect \\\n  a, b\n\n"
    (work / "preseed" / "0000-a.cfg").write_text(first)
    (work / "preseed" / "0001-b.cfg").write_text(
        "no-such-owner no-such/word string the last one wins\nd-i\tdi/x boolean true\n"
    )
    (work / "essential.sh").write_text(plan_root(inputs, {}).write["essential.sh"])
    settings = tmp_path / "debconf.conf"
    settings.write_text(DEBCONF.format(folder=tmp_path))
    ours = {"DEBCONF_SYSTEMRC": str(settings), "HOME": str(tmp_path)}
    argv = ("unshare", "--map-root-user", "--mount", "sh", str(work / "essential.sh"), "/")
    said = run(argv, tmp_path, ours)
    assert said.splitlines() == ["preseed 0000-a.cfg", "preseed 0001-b.cfg"]
    kept = (tmp_path / "config.dat").read_text()
    assert re.search(
        r"^Name: no-such/list\nTemplate: no-such/list\nValue: +a, b\nOwners: no-such-owner$", kept, re.MULTILINE
    )
    assert "Value: the last one wins\n" in kept
    assert "Name: di/x\n" in kept
    early = tmp_path / "root" / "etc" / "early"
    assert (early.read_text(), early.stat().st_mode & 0o777, int(early.stat().st_mtime)) == ("early\n", 0o755, EPOCH)
    assert (tmp_path / "root" / "etc" / "link").readlink() == Path("early")


def test_only_owners_of_answers_that_are_installed_are_asked_again(tmp_path: Path) -> None:
    script = plan_root({**BUILD, "preseed": {"0000-a.cfg": SOME}}, {}).write["essential.sh"]
    lines = script[script.index("    sed -e") : script.index(" | while read")]
    answers = "# x a/b string\n\n\tbase-files\ta/b string \\\n  bash c\nd-i e/f string g\nd-i h/i string\n  dash j/k string \\\n"
    (tmp_path / "a").write_text(answers)
    assert run(("sh", "-c", lines, "sh"), tmp_path, {"answers": "a"}).split() == ["base-files", "d-i", "dash"]


def medium_script() -> str:
    """Give what is done to the medium's tree, without the rest of the script."""
    inputs: dict[str, Json] = {**BUILD, "medium": SOME, "medium_hooks": {"0000-a.hook.binary": SOME}}
    script = plan_iso(inputs, EARLIER).write["iso.sh"]
    begin = script.index("if [ -e with-grub ]")
    return f"set -eu\numask 022\n{script[begin : script.index('find iso/EFI -exec touch')]}"


def make_medium(folder: Path, *hooks: str) -> None:
    (folder / "iso" / "boot").mkdir(parents=True)
    (folder / "iso" / "boot" / "grub.cfg").write_text("ours\n")
    (folder / "medium.tar").write_bytes(
        tar_of(
            [ImageFile("boot/grub.cfg", b"theirs\n", is_executable=False), ImageFile(".x/y", b"y", is_executable=True)],
            EPOCH,
        )
    )
    (folder / "medium-hooks").mkdir()
    for number, hook in enumerate(hooks):
        (folder / "medium-hooks" / f"{number:04d}-x.hook.binary").write_text(hook)


def test_includes_are_laid_over_the_medium_and_hooks_start_in_it_in_order(tmp_path: Path) -> None:
    make_medium(
        tmp_path,
        "#!/bin/sh\nset -eu\ncat boot/grub.cfg >>.x/y\nenv | sort >environment\n",
        "#!/bin/sh\nrm boot/grub.cfg\n",
    )
    said = run(("sh", "-c", medium_script()), tmp_path, {"SOURCE_DATE_EPOCH": "7", "SECRET": "x"})
    assert said.splitlines() == ["hook 0000-x.hook.binary", "hook 0001-x.hook.binary"]
    iso = tmp_path / "iso"
    assert sorted(str(path.relative_to(iso)) for path in iso.rglob("*") if path.is_file()) == [".x/y", "environment"]
    assert (iso / ".x" / "y").read_text() == "ytheirs\n"
    names = {line.partition("=")[0] for line in (iso / "environment").read_text().splitlines()}
    assert names - {"PWD", "_", "SHLVL", "OLDPWD"} == {"PATH", "HOME", "LC_ALL", "TZ", "SOURCE_DATE_EPOCH"}
    assert not (tmp_path / "medium-hook").exists()


def test_a_hook_that_fails_fails_the_medium(tmp_path: Path) -> None:
    make_medium(tmp_path, "#!/bin/sh\nexit 3\n")
    done = subprocess.run(
        ("sh", "-c", medium_script()), cwd=tmp_path, env={"PATH": os.environ["PATH"], "SOURCE_DATE_EPOCH": "7"}
    )
    assert done.returncode == 3


@pytest.mark.parametrize("compression", ["zstd-3", "zstd-19", "xz"])
def test_a_squashfs_has_all_but_what_is_excluded(tmp_path: Path, compression: str) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for folder in ("./boot", "./etc", "./usr", "./usr/share", "./usr/share/doc"):
            member = tarfile.TarInfo(folder)
            member.type = tarfile.DIRTYPE
            tar.addfile(member)
        for name, content in (("./boot/vmlinuz", b"k"), ("./usr/share/doc/a/b", b"d"), ("./etc/hosts", b"h")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    (tmp_path / "root.tar").write_bytes(out.getvalue())
    (tmp_path / "excludes").write_text("boot/*\nusr/share/doc\n")
    plan = plan_squashfs({**BUILD, "compression": compression, "excludes": SOME}, EARLIER)
    run(("sh", "-c", plan.write["squashfs.sh"]), tmp_path, {"SOURCE_DATE_EPOCH": str(EPOCH)})
    listed = run(("unsquashfs", "-l", "-no-progress", "filesystem.squashfs"), tmp_path).split()
    assert [line for line in listed if line.startswith("squashfs-root")] == [
        f"squashfs-root{path}" for path in ("", "/boot", "/etc", "/etc/hosts", "/usr", "/usr/share")
    ]
    shown = run(("unsquashfs", "-s", "filesystem.squashfs"), tmp_path)
    assert f"Compression {compression.partition('-')[0]}" in shown
