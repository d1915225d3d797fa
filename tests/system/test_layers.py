"""A layer over an image is, path by path, what a full build gives; and where it would not be, it says so."""

import io
import os
import pwd
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import pytest
from tests.habits.samples import EARLIER, INPUTS
from tests.system.line import state_folder
from tests.worlds.cells import IS_ROOT
from tests.worlds.debs import Member
from tests.worlds.layers import EPOCH, FILES, SmallImages, capable_tar, outputs_of, package
from tests.worlds.rootfs import CAPABILITY
from tests.worlds.work import workshop

from distwright.checks.image_contents import read_contents
from distwright.formats.tarstates import PathState, TarStates, read_states, write_layer
from distwright.images.iso import plan_iso, plan_packing
from distwright.images.layering import BACKUPS, Replay, layer_states, objections, parse_names
from distwright.images.recipe_files import ImageFile
from distwright.jobs.lease import Ending
from distwright.jobs.step import Plan
from distwright.model.digests import Sha256, sha256_of
from distwright.tools.sandbox import SANDBOX_USER, Sandbox, sandbox_for

pytestmark = pytest.mark.system
# They do the same for each version, but what they do follows from its files.
SCRIPTS = {
    "postinst": b"""#!/bin/sh
set -e
if [ "$1" = configure ]; then
    mkdir -p /var/lib/tern
    [ -e /var/lib/tern/state ] || cp /usr/share/tern/version /var/lib/tern/state
    chown 7:8 /var/lib/tern/state
    tar --extract --file /usr/share/tern/capable.tar --directory / --xattrs --xattrs-include='*'
fi
""",
    "postrm": b"""#!/bin/sh
set -e
if [ "$1" = purge ]; then rm -rf /var/lib/tern /usr/bin/tern-ping; fi
""",
    "conffiles": b"/etc/tern.conf\n",
}


def capable(content: bytes) -> Member:
    """Give a tar of a file with a capability, which a package cannot bring otherwise."""
    return Member("usr/share/tern/capable.tar", capable_tar("usr/bin/tern-ping", content))


FIRST = package(
    "tern", "1.0", Member("usr/bin/tern", b"#!/bin/sh\necho 1\n", 0o755), Member("usr/share/tern/version", b"1.0\n"), capable(b"1"),
    Member("usr/share/tern/gone", b"gone\n"), Member("usr/share/tern/was-folder/deep/file", b"x\n"),
    Member("usr/share/tern/was-file", b"x\n"), Member("usr/share/tern/link", link="version"), Member("etc/tern.conf", b"a = 1\n"),
    Member("usr/share/only-first/file", b"x\n"), Member("usr/share/doc/tern/copyright", b"free\n"), scripts=SCRIPTS,
)  # fmt: skip
SECOND = package(
    "tern", "1.1", Member("usr/bin/tern", b"#!/bin/sh\necho 2\n", 0o755), Member("usr/share/tern/version", b"1.1\n"), capable(b"2"),
    Member("usr/share/tern/was-folder", b"now a file\n"), Member("usr/share/tern/was-file/deep/file", b"y\n"),
    Member("usr/share/tern/link", link="../tern/version"), Member("etc/tern.conf", b"a = 2\n"),
    Member("usr/share/tern/owned", b"o\n", 0o4750, (3, 4, "sys", "adm")), Member("usr/share/doc/tern/copyright", b"freer\n"),
    scripts=SCRIPTS,
)  # fmt: skip
OTHER = package(
    "gull",
    "3",
    Member("usr/share/gull/file", b"gull\n"),
    Member("etc/gull.conf", b"g\n"),
    scripts={"conffiles": b"/etc/gull.conf\n"},
)
NEW = package("auk", "1", Member("usr/share/auk/file", b"auk\n"))
HOOKS = (
    "#!/bin/sh\nset -eu\ncp /usr/bin/tern /etc/copied\necho 'b = 1' >>/etc/tern.conf\nrm /usr/share/tern/version\n",
    """#!/bin/sh
set -eu
sed -i s/g/G/ /etc/gull.conf
grep -q 1 /etc/copied && echo first >/etc/once || echo other >/etc/later
""",
)
INCLUDES = (ImageFile("usr/share/tern/added", b"by the recipe\n", is_executable=False),)


@pytest.fixture
def images() -> Iterator[SmallImages]:
    with state_folder() as home:
        sandbox = sandbox_for(os.geteuid())
        sandbox.make_folder(home / "shop")
        shop = workshop(home / "shop", sandbox)
        yield SmallImages(shop, HOOKS, INCLUDES)
        shop.database.close()
        sandbox.remove(home)


def states_at(images: SmallImages, digest: Sha256) -> TarStates:
    return read_states(io.BytesIO(images.shop.objects.read(digest)))


def whole(images: SmallImages, digest: Sha256) -> Mapping[str, PathState]:
    """Read a root without the second names of its files."""
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(images.shop.objects.read(digest))) as tar,
        tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as kept,
    ):
        for member in tar:
            if not member.islnk():
                kept.addfile(member, tar.extractfile(member) if member.isreg() else None)
    return read_states(out).states


def replays(images: SmallImages, ending: Ending) -> tuple[Replay, Replay, dict[str, TarStates]]:
    outputs = outputs_of(ending)
    tars = {
        name: states_at(images, digest)
        for name, digest in outputs.items()
        if name.endswith(("before.tar", "after.tar"))
    }

    def of(step: str) -> Replay:
        names = {
            name: parse_names(images.shop.objects.read(outputs[f"{step}/{name}"]))
            for name in ("touched", "linked", "names")
        }
        before, after = tars[f"{step}/before.tar"].states, tars[f"{step}/after.tar"].states
        return Replay(names["touched"], before, after, names["linked"], names["names"])

    return of("replay"), of("layer"), tars


def merged(base: Mapping[str, PathState], layer: Mapping[str, PathState | None]) -> dict[str, PathState]:
    """Lay a layer over a root as the kernel does (overlayfs.rst): what is named hides what is below, folders are joined."""
    found = dict(base)
    for path, state in sorted(layer.items()):
        if state is None or not state.is_folder:
            for below in [one for one in found if one == path or one.startswith(f"{path}/")]:
                del found[below]
        if state is not None:
            found[path] = state
    return found


def test_a_layer_over_the_base_is_what_a_full_build_gives_path_by_path(images: SmallImages) -> None:
    base = images.full(FIRST, OTHER)
    wanted = whole(images, images.full(SECOND, OTHER)["customise/root"])
    first, second, _ = replays(images, images.layer((FIRST, OTHER), {"tern": SECOND}))
    layer = layer_states(first, second)
    was = whole(images, base["customise/root"])
    found = merged(was, layer)
    assert {path for path in wanted.keys() | found.keys() if wanted.get(path) != found.get(path)} - BACKUPS == set()
    assert objections(first, second, layer) == []
    assert {path: layer[path] for path in ("usr/share/tern/gone", "usr/share/only-first", "etc/once")} == {
        "usr/share/tern/gone": None, "usr/share/only-first": None, "etc/once": None,
    }  # fmt: skip
    assert "etc/gull.conf" not in layer, "the hooks did the same to it"
    ping = layer["usr/bin/tern-ping"]
    assert ping is not None
    assert (ping.xattrs, "usr/bin/ping" in layer) == ((("SCHILY.xattr.security.capability", CAPABILITY),), False)
    assert found["usr/bin/ping"].xattrs == ping.xattrs
    assert len(layer) < 40


def packed(images: SmallImages) -> bytes:
    """Give the tar of the layer that brings the second version."""
    first, second, tars = replays(images, images.layer((FIRST, OTHER), {"tern": SECOND}))
    out = io.BytesIO()

    def content(path: str) -> IO[bytes]:
        return tars["layer/after.tar" if path in second.touched else "replay/before.tar"].content(path)

    write_layer(out, layer_states(first, second), content, EPOCH)
    return out.getvalue()


def test_the_same_layer_made_twice_has_the_same_bytes(images: SmallImages) -> None:
    """The second time in an installation of its own, where nothing is known."""
    made = packed(images)
    with state_folder() as home:
        sandbox = sandbox_for(os.geteuid())
        sandbox.make_folder(home / "other")
        shop = workshop(home / "other", sandbox)
        assert packed(SmallImages(shop, HOOKS, INCLUDES)) == made
        shop.database.close()
        sandbox.remove(home / "other")


MERGE = """set -eu
mkdir lower merged
tar --extract --file base.tar --directory lower --exclude './dev/*'
unsquashfs -quiet -no-progress -d upper layer.squashfs >/dev/null
mount -t overlay overlay -o lowerdir=upper:lower merged
cd merged
find . -type f -print0 | sort -z | xargs -0 sha256sum
find . ! -type f -print | sort | sed 's/^/other /'
"""


@pytest.mark.skipif(not IS_ROOT, reason="only root's overlays know whiteouts that mknod has made")
def test_packed_and_laid_over_each_other_by_the_kernel_it_is_the_same(images: SmallImages) -> None:
    wanted = whole(images, images.full(SECOND, OTHER)["customise/root"])
    with state_folder() as home:
        (home / "base.tar").write_bytes(images.shop.objects.read(images.full(FIRST, OTHER)["customise/root"]))
        argv = (
            "mksquashfs",
            "-",
            "layer.squashfs",
            "-tar",
            "-root-mode",
            "0755",
            "-noappend",
            "-no-progress",
            "-quiet",
        )
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH)}
        subprocess.run(argv, cwd=home, input=packed(images), check=True, capture_output=True, env=environment)
        merging = ("unshare", "--mount", "sh", "-c", MERGE)
        lines = subprocess.run(merging, cwd=home, check=True, capture_output=True, text=True).stdout.splitlines()
    rows = [line.partition("  ")[::2] for line in lines if not line.startswith("other ")]
    left = BACKUPS | {"usr/bin/one", "usr/bin/two"}  # one file
    files = {path: state.what for path, state in wanted.items() if state.kind == tarfile.REGTYPE}
    found = {path.removeprefix("./"): digest for digest, path in rows}
    assert {path: digest for path, digest in found.items() if path not in left} == {
        path: digest for path, digest in files.items() if path not in left
    }
    others = {line.removeprefix("other ").lstrip("./") for line in lines if line.startswith("other ")}
    assert others == {path for path, state in wanted.items() if state.kind != tarfile.REGTYPE} - {"dev/console"}


def test_a_new_package_is_installed_and_marked_as_one_that_nobody_asked_for(images: SmallImages) -> None:
    first, second, tars = replays(images, images.layer((FIRST, OTHER), {"tern": SECOND, "auk": NEW}, new=("auk",)))
    layer = layer_states(first, second)
    assert layer["usr/share/auk/file"] is not None
    marks = tars["layer/after.tar"].content("var/lib/apt/extended_states").read()
    assert marks == b"Package: auk\nArchitecture: amd64\nAuto-Installed: 1\n\n"


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        (
            "chmod 0711 /usr/bin/ping",
            "attributes or times",
        ),  # unpacked, it has no capability, which tar(1) does not compare
        ("cat /proc/sys/kernel/random/uuid >/etc/chance", "'./etc/chance: Contents differ'"),
        ("touch /etc/$(cat /proc/sys/kernel/random/uuid)", "Not found in archive"),
        ("[ -e /dev/recipe/ask/pack.sh ] || rm /etc/gull.conf", "'./etc/gull.conf: it is there, and is not any more'"),
    ],
)
def test_a_recipe_that_gives_something_else_each_time_is_no_base(images: SmallImages, hook: str, said: str) -> None:
    images.hooks = (f"#!/bin/sh\nset -eu\n{hook}\n",)
    ending = images.layer((FIRST, OTHER), {"tern": SECOND})
    assert str(ending.outcome) == "failed", ending.message
    first = (ending.message or "").splitlines()[0]
    assert first.startswith("replay: the recipe gives something else when it is followed again: ")
    assert said in first


def test_a_file_with_several_names_that_a_hook_changes_speaks_against_a_layer(images: SmallImages) -> None:
    images.hooks = ("#!/bin/sh\nset -eu\nchmod 0700 /usr/bin/one\n",)
    first, second, _ = replays(images, images.layer((FIRST, OTHER), {"tern": SECOND}))
    assert objections(first, second, layer_states(first, second)) == ["/usr/bin/one: a file with several names"]


def test_a_package_that_cannot_be_installed_so_fails_with_dpkgs_words(images: SmallImages) -> None:
    needing = package("tern", "1.1", Member("usr/share/tern/x", b"x"), fields="Depends: not-there\n", scripts=SCRIPTS)
    ending = images.layer((FIRST, OTHER), {"tern": needing})
    assert str(ending.outcome) == "failed"
    assert "packages cannot be installed over those that are there: 'dpkg: dependency problems" in (
        ending.message or ""
    )


def test_what_an_image_is_called_makes_no_other_initrd(images: SmallImages) -> None:
    """What names it is written when all else was asked: os-release is of a package that every initrd's root has."""
    files = package("base-files", "12", Member("usr/lib/os-release", b"ID=small\n"), fields="Essential: yes\n")
    one = images.full(files, FIRST, OTHER)
    images.files = {**FILES, "os-release-more": "IMAGE_ID=other\n"}
    other = images.full(files, FIRST, OTHER)
    assert one["customise/initrd-root"] == other["customise/initrd-root"]
    named = (
        whole(images, one["customise/root"])["usr/lib/os-release"],
        whole(images, other["customise/root"])["usr/lib/os-release"],
    )
    assert [state.size for state in named] == [len("ID=small\nIMAGE_ID=small\n")] * 2
    assert named[0] != named[1]


def test_what_lies_beside_the_files_of_who_makes_initrds_is_in_their_root(images: SmallImages) -> None:
    """Whoever brings a script of live-boot's puts it where live-boot copies all of a folder; nobody owns it."""
    alike = [
        package(f"p{number}", "1", Member(f"usr/lib/common/p{number}", b"x")) for number in range(12)
    ]  # a folder of everybody
    boot = package(
        "live-boot", "1", Member("usr/share/initramfs-tools/hooks/live", b"#!/bin/sh\n", mode=0o755),
        Member("usr/lib/live/boot/9990-main.sh", b"main"), Member("usr/lib/common/live", b"x"),
    )  # fmt: skip
    images.includes = (
        ImageFile("usr/lib/live/boot/0005-mine.sh", b"mine", is_executable=True),
        ImageFile("usr/lib/common/mine", b"mine", is_executable=False),
        ImageFile("usr/lib/other/mine", b"mine", is_executable=False),
    )
    made = images.full(boot, FIRST, OTHER, *alike)
    paths = {path for path in whole(images, made["customise/initrd-root"]) if path.endswith(("mine", "mine.sh"))}
    assert paths == {"usr/lib/live/boot/0005-mine.sh"}


def test_keys_that_would_be_everybodys_are_not_in_the_image_but_what_the_recipe_brings_is(images: SmallImages) -> None:
    made = [
        "etc/ssh/ssh_host_rsa_key", "etc/ssh/ssh_host_rsa_key.pub", "etc/ssl/private/ssl-cert-snakeoil.key",
        "etc/ssl/certs/ssl-cert-snakeoil.pem", "var/lib/systemd/random-seed",
    ]  # fmt: skip
    images.hooks = (
        "#!/bin/sh\nset -eu\ncd /\nmkdir -p etc/ssh etc/ssl/private etc/ssl/certs var/lib/systemd\n"
        + "".join(f"echo key >{name}\n" for name in made)
        + "ln -s ssl-cert-snakeoil.pem etc/ssl/certs/0a1b2c3d.0\nln -s other.pem etc/ssl/certs/4e5f6a7b.0\n",
    )
    images.includes = (ImageFile("etc/ssh/ssh_host_ed25519_key", b"mine\n", is_executable=False),)
    found = whole(images, images.full(FIRST, OTHER)["customise/root"])
    assert {path for path in found if path.startswith(("etc/ssh/", "etc/ssl/certs/", "etc/ssl/private/", "var/lib/systemd/"))} == {
        "etc/ssh/ssh_host_ed25519_key", "etc/ssl/certs/4e5f6a7b.0",
    }  # fmt: skip


@pytest.mark.skipif(not IS_ROOT, reason="then all others are made so")
def test_a_plain_user_makes_the_same_layer_as_root(images: SmallImages) -> None:
    with state_folder() as home:
        home.chmod(0o777)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                user = pwd.getpwnam(SANDBOX_USER)
                os.setgroups([])
                os.setgid(user.pw_gid)
                os.setuid(user.pw_uid)
                shop = workshop(home / "shop", Sandbox(None))
                (home / "layer.tar").write_bytes(packed(SmallImages(shop, HOOKS, INCLUDES)))
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert (home / "layer.tar").read_bytes() == packed(images)
        sandbox_for(os.geteuid()).remove(home / "shop")


def scripted(folder: Path, plan: Plan, placed: Mapping[str, bytes]) -> None:
    """Run the script of a plan as a runner does, with the programs of this machine."""
    folder.mkdir(exist_ok=True)
    for name, content in placed.items():
        (folder / name).write_bytes(content)
    for name, text in plan.write.items():
        (folder / name).write_text(text)
    [command] = plan.commands
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        **dict(command.environment),
    }
    argv = ("sh", command.argv[0])
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_medium_of_both_is_read_as_that_of_a_full_build(images: SmallImages, tmp_path: Path) -> None:
    full = {**INPUTS["image.build"], "epoch": EPOCH}
    layered = {**INPUTS["image.layer"], "epoch": EPOCH}
    roots = {
        "base": images.shop.objects.read(images.full(FIRST, OTHER)["customise/root"]),
        "full": images.shop.objects.read(images.full(SECOND, OTHER)["customise/root"]),
        "layer": packed(images),
    }
    for name, tar in roots.items():
        plan = plan_packing(layered if name == "layer" else full, EARLIER, sha256_of(tar))
        scripted(tmp_path / name, plan, {"root.tar": tar})
    squashed = {name: (tmp_path / name / "filesystem.squashfs").read_bytes() for name in roots}
    live = {"vmlinuz": b"a kernel", "initrd.img": b"an initrd", "filesystem.squashfs": squashed["base"]}
    scripted(tmp_path / "layered", plan_iso(layered, EARLIER), {**live, "10-delta.squashfs": squashed["layer"]})
    scripted(tmp_path / "whole", plan_iso(full, EARLIER), {**live, "filesystem.squashfs": squashed["full"]})
    with (tmp_path / "layered" / "image.iso").open("rb") as one, (tmp_path / "whole" / "image.iso").open("rb") as two:
        found, wanted = read_contents(one), read_contents(two)
    assert {path: file for path, file in found.files.items() if path not in BACKUPS} == {
        path: file for path, file in wanted.files.items() if path not in BACKUPS
    }
    assert found.medium["live/filesystem.module"][0] == len("filesystem.squashfs\n10-delta.squashfs\n")
    sums = (tmp_path / "layered" / "iso" / "md5sum.txt").read_text()
    assert {line.partition("  ")[2] for line in sums.splitlines()} > {
        "./live/filesystem.squashfs", "./live/10-delta.squashfs", "./live/filesystem.module",
    }  # fmt: skip
