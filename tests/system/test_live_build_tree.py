"""A tree that the real `lb config` wrote, with every folder filled: imported, built, started, and looked into by other programs."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.system.imaging import Imaging, imaging
from tests.system.line import DISTWRIGHT, state_folder
from tests.worlds.packages import make_deb

pytestmark = [pytest.mark.system, pytest.mark.full]
LB_CONFIG = (
    "lb", "config", "--distribution", "bookworm", "--archive-areas", "main", "--apt-recommends", "false",
    "--debian-installer", "none", "--memtest", "none", "--chroot-squashfs-compression-type", "zstd",
    "--chroot-squashfs-compression-level", "3", "--iso-volume", "Kiosk @ISOVOLUME_TS@", "--image-name", "kiosk",
    "--bootappend-live", "boot=live components hostname=kiosk username=guest",
)  # fmt: skip
NOTE = make_deb("kiosk-note", "1.0", architecture="all", content={"usr/share/kiosk/note": "from a package\n"})
HOOK = "#!/bin/sh\nset -e\n"
# Path below config/ -> content, as for a commit.
FILLED: Mapping[str, str | bytes] = {
    "package-lists/more.list.chroot": "#if ARCHITECTURES amd64\nnano\n#endif\n#if ARCHITECTURES arm64\ned\n#endif\nzstd\n",
    f"packages.chroot/{NOTE.file_name}": NOTE.content,
    "archives/never.pref.chroot": "Package: mawk\nPin: version *\nPin-Priority: 50\n",
    "preseed/kiosk.cfg.chroot": "debconf debconf/priority select critical\n",
    "includes.chroot_before_packages/etc/nanorc": "set tabsize 3\n",
    "includes.chroot_after_packages/etc/kiosk/late": "late\n",
    "includes.chroot_after_packages/etc/kiosk/link@": "late",
    "includes.binary/readme.txt": "read me\n",
    "hooks/normal/0500-note.hook.chroot*": f"{HOOK}cat /usr/share/kiosk/note /etc/kiosk/late >/etc/kiosk/hooked\n",
    "hooks/normal/9500-medium.hook.binary*": f"{HOOK}cat readme.txt readme.txt >twice.txt\n",
    "bootloaders/grub-pc/grub.cfg": "serial --unit=0 --speed=115200\nterminal_output console serial\nset timeout=1\n"
    'echo "A menu of ours"\nLINUX_LIVE\n',
    "rootfs/excludes": "usr/share/zoneinfo/Antarctica\n",
}


def write_tree(top: Path) -> None:
    """Let live-build begin a tree, and fill its folders."""
    done = subprocess.run([*LB_CONFIG], cwd=top, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name, content in FILLED.items():
        path = top / "config" / name.rstrip("@*")
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("@"):
            path.symlink_to(str(content))
            continue
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(0o755 if name.endswith("*") else 0o644)
    (top / "config/includes.chroot_after_packages/etc/kiosk/late").chmod(0o600)


def files_below(top: Path) -> dict[str, str | bytes]:
    """Read a folder as the files of a commit."""
    found: dict[str, str | bytes] = {}
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        if path.is_symlink():
            found[f"{name}@"] = str(path.readlink())
        elif path.is_file():
            found[f"{name}*" if path.stat().st_mode & 0o100 else name] = path.read_bytes()
    return found


@pytest.fixture(scope="module")
def kiosk() -> Iterator[Imaging]:
    with state_folder() as folder:
        tree, repo = folder / "tree", folder / "repo"
        tree.mkdir()
        repo.mkdir()
        write_tree(tree)
        words = [str(DISTWRIGHT), "image", "import", str(tree), "--into", str(repo), "--name", "kiosk"]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        lost = {line.split()[0] for line in done.stdout.splitlines() if " not honoured " in line}
        assert {name for name in lost if not name.startswith("LB_")} == {
            "config/hooks/normal/5000-update-apt-file-cache.hook.chroot"
        }
        config = 'format = 1\n[site]\nname = "Kiosk"\n' + (repo / "distwright.d" / "kiosk.toml").read_text()
        with imaging("kiosk", files_below(repo), config, archives=("debian", "debian-security")) as made:
            made.must("image", "build", "kiosk")  # which boots it, too, up to a login
            yield made


@pytest.fixture(scope="module")
def medium(kiosk: Imaging) -> Path:
    """What is on the disc, as xorriso reads it, with the root in `root`, as unsquashfs does."""
    place = kiosk.folder / "medium"
    for words in (
        ["xorriso", "-osirrox", "on", "-indev", str(kiosk.published("*.iso")), "-extract", "/", str(place)],
        ["unsquashfs", "-q", "-n", "-d", str(place / "root"), str(place / "live/filesystem.squashfs")],
    ):
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        if place.stat().st_mode & 0o200 == 0:
            place.chmod(0o755)
    return place


def test_what_the_lists_and_folders_of_packages_ask_for_is_installed(medium: Path) -> None:
    status = (medium / "root/var/lib/dpkg/status").read_text()
    for name in ("nano", "zstd", "kiosk-note", "live-boot", "live-config-systemd", "debian-archive-keyring"):
        assert f"\nPackage: {name}\n" in status, name
    assert "\nPackage: ed\n" not in status
    assert not (medium / "root/etc/apt/sources.list.d/kiosk.list").exists()


def test_includes_have_their_place_their_mode_and_their_turn(medium: Path) -> None:
    root = medium / "root"
    assert (root / "etc/nanorc").read_text() == "set tabsize 3\n", "there before nano was installed, and kept"
    late = root / "etc/kiosk/late"
    assert (late.read_text(), late.stat().st_mode & 0o7777) == ("late\n", 0o600)
    assert (root / "etc/kiosk/link").readlink() == Path("late")
    assert (medium / "readme.txt").read_text() == "read me\n"


def test_hooks_of_the_root_and_of_the_medium_have_run(medium: Path) -> None:
    assert (medium / "root/etc/kiosk/hooked").read_text() == "from a package\nlate\n"
    assert (medium / "twice.txt").read_text() == "read me\nread me\n"
    assert (medium / "root/etc/machine-id").read_text() == "", "live-build's own ran, or what does the same"


def test_answers_pins_excludes_and_the_menu_count(medium: Path) -> None:
    root = medium / "root"
    answers = (root / "var/cache/debconf/config.dat").read_text()
    entry = next(part for part in answers.split("\n\n") if part.startswith("Name: debconf/priority\n"))
    assert "\nValue: critical" in entry
    assert not (root / "etc/apt/preferences.d/never.pref").exists(), "for the time of the build, as live-build has it"
    assert not (root / "usr/share/zoneinfo/Antarctica").exists()
    menu = (medium / "boot/grub/grub.cfg").read_text()
    assert "A menu of ours" in menu
    assert "hostname=kiosk username=guest" in menu


def test_it_starts(kiosk: Imaging) -> None:
    [boot] = [row for row in kiosk.line.answer("job", "list") if row["kind"] == "image.boot"]
    assert boot["state"] == "ok"
    shutil.rmtree(kiosk.folder / "medium", ignore_errors=True)
