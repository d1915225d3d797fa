"""`image compare`: two media with real squashfs in them, named as people name them, and everything that changed."""

import hashlib
import io
import stat
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.habits.samples import INPUTS
from tests.worlds.commands import CommandLine, command_line
from tests.worlds.images import Images
from tests.worlds.installation import make_context
from tests.worlds.kits import MTOOLS, ORDER, carry_out
from tests.worlds.squashfs import NET_RAW, Node, make_iso, make_squashfs

from distwright.app import open_app
from distwright.checks.image_boot import boot_lines
from distwright.checks.image_contents import contents_to_bytes, parse_contents, read_contents
from distwright.errors import BadInput
from distwright.images.iso import plan_iso
from distwright.jobs.step import StepResult
from distwright.model.outcomes import Outcome
from distwright.store.jobs import list_jobs
from distwright.store.objects import FileObjects

pytestmark = pytest.mark.system
PASSWD = b"root:x:0:0:root:/root:/bin/bash\nada:x:1000:1000::/home/ada:/bin/sh\n"
SHARED = (
    Node("bin", link="usr/bin"),
    Node("etc/group", b"root:x:0:\nsudo:x:27:ada\n"),
    Node("etc/systemd/system/ssh.service", link="/dev/null"),
    Node("usr/bin/true", b"true", 0o755),
)
FIRST = (
    *SHARED,
    Node("etc/passwd", PASSWD),
    Node("etc/sudoers", b"root ALL=(ALL) ALL\n", 0o440),
    Node("etc/systemd/system/multi-user.target.wants/cron.service", link="/usr/lib/systemd/system/cron.service"),
    Node("usr/bin/ping", b"ping 1", 0o4755),
    Node("usr/bin/pung", hardlink="usr/bin/ping"),
    Node("usr/share/tern/old", b"old"),
    Node("var/lib/dpkg/info/coreutils.list", b"/.\n/bin\n/bin/true\n"),
    Node("var/lib/dpkg/info/iputils:amd64.list", b"/.\n/usr\n/usr/bin\n/bin/ping\n/usr/bin/pung\n"),
    Node("var/lib/dpkg/info/tern.list", b"/usr/share/tern\n/usr/share/tern/old\n"),
    Node("home/ada/notes", b"mine", owner=(1000, 1000), mtime=1_600_000_000),
)
SECOND = (
    *SHARED,
    Node("etc/passwd", PASSWD + b"bea:x:1001:1001::/home/bea:/bin/sh\n"),
    Node("etc/sudoers", b"root ALL=(ALL) ALL\n", 0o440),
    Node("etc/sudoers.d/bea", b"bea ALL=NOPASSWD: ALL\n", 0o440),
    Node("etc/systemd/system/display-manager.service", link="/usr/lib/systemd/system/lightdm.service"),
    Node("usr/bin/ping", b"ping 22", 0o755, xattrs={"security.capability": NET_RAW}),
    Node("usr/share/tern/new", b"newer"),
    Node("var/lib/dpkg/info/coreutils.list", b"/.\n/bin\n/bin/true\n"),
    Node("var/lib/dpkg/info/iputils.list", b"/.\n/bin/ping\n"),
    Node("var/lib/dpkg/info/tern.list", b"/usr/share/tern\n/usr/share/tern/new\n"),
    Node("home/ada/notes", b"mine", 0o666, owner=(1000, 1000), mtime=1_500_000_000),
)
CONFIG = """format = 1
[site]
name = "Petrel"
[archive.petrel]
kind = "own"
origin = "Petrel"
label = "Petrel"
live_key = "petrel.asc"
key = { credential = "petrel" }
[suite.devel]
archive = "petrel"
"""


def iso_of(folder: Path, nodes: Sequence[Node], kernel: bytes = b"kernel", *options: str) -> bytes:
    folder.mkdir()
    (folder / "vmlinuz").write_bytes(kernel)
    squashfs = make_squashfs(folder / "filesystem.squashfs", nodes, *options)
    return make_iso(
        folder / "image.iso", {"live/filesystem.squashfs": squashfs, "live/vmlinuz": folder / "vmlinuz"}
    ).read_bytes()


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    return command_line(tmp_path, CONFIG)


@pytest.fixture
def images(line: CommandLine) -> Iterator[Images]:
    app = open_app(str(line.state))
    yield Images(app.database, app.objects, app.paths)
    app.database.close()


def half_sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def changes(answer: dict[str, list[dict[str, str]]]) -> list[tuple[Any, ...]]:
    return [(row["section"], row["what"], row["first"], row["second"]) for row in answer["changes"]]


def test_everything_that_changed_is_listed_once_with_both_sides(
    line: CommandLine, images: Images, tmp_path: Path
) -> None:
    first = images.build(
        iso=iso_of(tmp_path / "a", FIRST), packages={"coreutils": "9.1", "iputils": "1", "tern": "1.0"}
    )
    images.boot(first, seconds=61)
    second = images.build(
        iso=iso_of(tmp_path / "b", SECOND, b"kernel 2"), packages={"coreutils": "9.1", "iputils": "1", "tern": "2.0"}
    )
    images.boot(second, outcome=Outcome.FAILED)
    line.run("image", "compare", first, second)  # progress of the reading is no JSON
    done = line.run("image", "compare", first, "petrel", as_json=True)
    assert (done.exit_code, done.said) == (1, "")
    answer = done.answer
    assert (answer["first"], answer["second"], answer["same"]) == (first, second, False)
    assert answer["measured"] == {"seconds to start (bios)": [61, None], "ports that listen": [None, None]}
    found = [row for row in changes(answer) if row[0] not in ("file", "size")]
    assert found == [
        ("package", "tern", "1.0", "2.0"),
        ("setuid", "usr/bin/ping", "-rwsr-xr-x root/root", None),
        ("setuid", "usr/bin/pung", "-rwsr-xr-x root/root", None),
        ("capability", "usr/bin/ping", None, "cap_net_raw=ep"),
        ("world-writable", "home/ada/notes", None, "-rw-rw-rw- ada/1000"),
        ("user", "bea", None, "1001:1001 /home/bea /bin/sh"),
        ("rule", "etc/sudoers.d/bea", None, half_sum(b"bea ALL=NOPASSWD: ALL\n")),
        ("service", "cron.service", "in multi-user.target", None),
        ("service", "display-manager.service", None, "is lightdm.service"),
        ("medium", "live/vmlinuz", f"6 {half_sum(b'kernel')}", f"8 {half_sum(b'kernel 2')}"),
    ]
    sizes = {row[1]: row[2:] for row in changes(answer) if row[0] == "size"}
    assert (sizes["iputils"], sizes["tern"]) == ((6 + 41, 7 + 13), (3 + 36, 5 + 36)), (
        "a file with two names counts once"
    )
    assert "coreutils" not in sizes
    files = {row[1]: row[2:] for row in changes(answer) if row[0] == "file"}
    assert files["home/ada/notes"][0].startswith("-rw-r--r-- ada/1000 4 ")
    assert (files["usr/share/tern/old"][1], files["usr/share/tern/new"][0]) == (None, None)
    assert "usr/bin/true" not in files, "what dpkg calls /bin/true is the same"
    owners = {row["what"]: row["package"] for row in answer["changes"] if row["section"] == "file"}
    assert (owners["usr/bin/pung"], owners["usr/share/tern/old"], owners["home/ada/notes"]) == ("iputils", "tern", "")
    assert owners["var/lib/dpkg/info/iputils:amd64.list"] == "iputils"
    text = line.run("image", "compare", first, f"public/images/{second}/{second}.iso").text
    assert "of tern" in text
    assert "usr/share/tern/old" not in text, "files of a package that changed are counted"
    assert "not known" in text
    assert "20 (-27)" in text


def test_a_file_with_the_name_of_an_image_and_other_bytes_is_refused(
    line: CommandLine, images: Images, tmp_path: Path
) -> None:
    content = iso_of(tmp_path / "a", FIRST)
    name = images.build(iso=content)
    there = tmp_path / "elsewhere" / name / f"{name}.iso"
    there.parent.mkdir(parents=True)
    there.write_bytes(content)
    assert line.run("image", "compare", name, str(there)).exit_code == 0
    there.write_bytes(b"junk")
    for path in (there, there.parent):
        done = line.run("image", "compare", name, str(path))
        assert done.exit_code == 3
        assert "which was built here, and other bytes" in done.said
    there.unlink()
    assert "there is no file" in line.run("image", "compare", name, str(there.parent)).said


def test_an_image_is_read_once(line: CommandLine, images: Images, tmp_path: Path) -> None:
    first, second = (images.build(iso=iso_of(tmp_path / name, FIRST, name.encode())) for name in "ab")
    line.run("image", "compare", first, second)
    line.run("image", "compare", second, f"{first}.iso")
    with images.database.read() as tx:
        assert [(job.kind, job.fence) for job in list_jobs(tx, kind="image.contents")] == [("image.contents", 1)] * 2


def test_the_same_bytes_are_the_same_and_another_packing_is_nothing_else(
    line: CommandLine, images: Images, tmp_path: Path
) -> None:
    content = iso_of(tmp_path / "a", FIRST)
    first, second = images.build(iso=content), images.build(iso=content)
    third = images.build(iso=iso_of(tmp_path / "b", FIRST, b"kernel", "-comp", "xz"))
    done = line.run("image", "compare", first, second)
    assert done.exit_code == 0
    assert "the same, byte for byte" in done.text
    line.run("image", "compare", first, third)
    answer = line.run("image", "compare", first, third, as_json=True).answer
    assert {row["what"] for row in answer["changes"]} <= {"(squashfs)", "(ISO)"}


def test_what_is_not_there_or_cannot_be_read_is_said(line: CommandLine, images: Images, tmp_path: Path) -> None:
    good = images.build(iso=iso_of(tmp_path / "a", FIRST))
    bad = images.build(iso=b"no ISO")
    assert line.run("image", "compare", good, "skua").exit_code == 10
    done = line.run("image", "compare", good, bad)
    assert done.exit_code == 1
    assert "the ISO is cut off, or is none" in done.said
    images.objects.discard(images.isos[good], images.clock.date())
    images.objects.empty_trash(images.clock.date().replace(year=2100))
    assert line.run("image", "compare", good, good).said == f"{good} is no longer kept"


def test_a_document_comes_back_and_names_no_objects(tmp_path: Path) -> None:
    iso_of(tmp_path / "a", SECOND)
    with (tmp_path / "a" / "image.iso").open("rb") as file:
        contents = read_contents(file)
    document = contents_to_bytes(contents)
    assert parse_contents(document) == contents
    assert stat.S_ISLNK(contents.files["bin"].mode)
    with pytest.raises(BadInput):
        parse_contents(document.replace(b'"format":2', b'"format":3'))
    with pytest.raises(BadInput):
        parse_contents(document[:-10])


LAYER = (
    Node("etc/passwd", b"root:x:0:0:root:/root:/bin/bash\n"),
    Node("etc/systemd/system/ssh.service", device=("c", 0, 0), mode=0),
    Node("etc/sudoers", None, 0o755),
    Node("etc/sudoers/inside", b"y"),
    Node("home", device=("c", 0, 0), mode=0),
    Node("usr/bin", None, 0o711),
    Node("usr/bin/ping", b"another", 0o755),
    Node("usr/share/tern", None, 0o700, xattrs={"trusted.overlay.opaque": b"y"}),
    Node("usr/share/tern/new", b"newer"),
    Node("var/lib/dpkg/info", b"a file now"),
)


def layered(folder: Path, files: dict[str, Sequence[Node]], module: str | None) -> Path:
    found = {path: make_squashfs(folder / path.replace("/", "-"), nodes) for path, nodes in files.items()}
    if module is not None:
        (folder / "module").write_text(module)
        found["live/filesystem.module"] = folder / "module"
    return make_iso(folder / "image.iso", found)


def test_layers_are_read_as_what_is_seen_when_they_lie_over_each_other(tmp_path: Path) -> None:
    names = "filesystem.squashfs\n10-delta.squashfs\n"
    iso = layered(tmp_path, {"live/filesystem.squashfs": FIRST, "live/10-delta.squashfs": LAYER}, names)
    with iso.open("rb") as file:
        found = read_contents(file)
    whiteouts = {"etc/systemd/system/ssh.service", "home"}
    below = {"etc/sudoers", "home/ada", "home/ada/notes", "usr/share/tern/old"}
    lists = {one.path for one in FIRST if one.path.startswith("var/lib/dpkg/info/")}
    folders = {
        "/".join(one.path.split("/")[:depth]) for one in (*FIRST, *LAYER) for depth in range(1, one.path.count("/") + 1)
    }
    wanted = ({one.path for one in (*FIRST, *LAYER)} | folders | {"."}) - whiteouts - (below - {"etc/sudoers"}) - lists
    assert found.files.keys() == wanted
    assert {path: oct(found.files[path].mode) for path in ("usr/bin", "etc/sudoers", "usr/bin/ping", "usr/bin/pung")} == {
        "usr/bin": "0o40711", "etc/sudoers": "0o40755", "usr/bin/ping": "0o100755", "usr/bin/pung": "0o104755",
    }  # fmt: skip
    assert found.users == ("root:x:0:0:root:/root:/bin/bash",)
    assert found.groups == ("root:x:0:", "sudo:x:27:ada")
    assert list(found.medium) == ["live/filesystem.module"]
    assert found.squashfs_bytes == sum((tmp_path / f"live-{name}").stat().st_size for name in names.split())
    assert found.sizes[""] == sum({one.path: one.size for one in found.files.values()}.values()), (
        "pung counts, its first name is gone"
    )


def test_without_a_module_file_layers_lie_in_order_of_name_and_with_one_nothing_else_counts(tmp_path: Path) -> None:
    one, two = (Node("a", b"1"), Node("b", b"1")), (Node("a", b"22"),)
    files: dict[str, Sequence[Node]] = {"live/20.squashfs": one, "live/10.squashfs": two}
    for number, (module, sizes) in enumerate((
        (None, {"a": 1, "b": 1}), ("20.squashfs 10.squashfs", {"a": 2, "b": 1}), ("10.squashfs", {"a": 2}),
    )):  # fmt: skip
        (tmp_path / str(number)).mkdir()
        with layered(tmp_path / str(number), files, module).open("rb") as file:
            assert {path: found.size for path, found in read_contents(file).files.items() if path != "."} == sizes


@pytest.mark.parametrize(
    ("module", "said"),
    [("30.squashfs", "no file 'live/30.squashfs'"), ("", "has 0 file systems"), ("../x", "no file 'live/../x'")],
)
def test_a_medium_that_names_what_it_has_not_is_refused(tmp_path: Path, module: str, said: str) -> None:
    iso = layered(tmp_path, {"live/10.squashfs": (Node("a"),)}, module)
    with iso.open("rb") as file, pytest.raises(BadInput, match=said):
        read_contents(file)


def bootable(folder: Path) -> bytes:
    """Make an ISO as the step of a build does, by this machine's programs, with its signed shim and GRUB."""
    folder.mkdir()
    objects = make_context(folder).objects
    assert isinstance(objects, FileObjects)
    squashfs = make_squashfs(folder / "filesystem.squashfs", SHARED)
    steps = {
        "tools": StepResult({"root": objects.put(b"no root")}),
        "squashfs": StepResult({"squashfs": objects.put_file(squashfs)}),
        "initrd": StepResult({"vmlinuz": objects.put(b"kernel"), "initrd": objects.put(b"initrd")}),
    }
    carry_out(plan_iso({**INPUTS["image.build"], **ORDER}, steps), folder / "iso", objects)
    return (folder / "iso" / "image.iso").read_bytes()


def test_what_an_image_of_ours_starts_by_is_seen_even_where_no_file_of_its_medium_changes(
    line: CommandLine, images: Images, tmp_path: Path
) -> None:
    whole = bootable(tmp_path / "made")
    names = set(boot_lines(io.BytesIO(whole)))
    assert names >= {
        "MBR", "El Torito 1 (BIOS)", "El Torito 3 (UEFI)", "GPT partition 2", "EFI: EFI/BOOT/BOOTX64.EFI",
        "EFI: EFI/BOOT/grubx64.efi", "EFI: EFI/BOOT/mmx64.efi",
    }  # fmt: skip
    evil, grub = tmp_path / "evil.iso", tmp_path / "grubx64.efi"
    esp = 512 * int.from_bytes(whole[1024 + 128 + 32 :][:8], "little")  # where the second partition of the GPT begins
    grub.write_bytes(b"another GRUB")
    evil.write_bytes(whole[:300] + bytes([whole[300] ^ 1]) + whole[301:])
    argv = ("mcopy", "-o", "-Q", "-i", f"{evil}@@{esp}", str(grub), "::/EFI/BOOT/grubx64.efi")
    subprocess.run(argv, check=True, env={"PATH": "/usr/bin:/bin", **MTOOLS})
    first, second = images.build(iso=whole), images.build(iso=evil.read_bytes())
    line.run("image", "compare", first, second)
    answer = line.run("image", "compare", first, second, as_json=True).answer
    assert {(row["section"], row["what"]) for row in answer["changes"]} == {
        ("boot", "MBR"), ("boot", "EFI: EFI/BOOT/grubx64.efi"),
    }  # fmt: skip
    [grubs] = [row for row in answer["changes"] if "grub" in row["what"]]
    assert grubs["second"] == f"12 {half_sum(b'another GRUB')}"
