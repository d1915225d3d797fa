"""The customisation of an image: hooks have the image and nothing else, whatever they try, and its files stay what they are."""

import io
import json
import os
import pwd
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.system.line import state_folder
from tests.worlds.cells import HOST_SECRET, IS_ROOT
from tests.worlds.rootfs import CAPABILITY, tool_root_tar
from tests.worlds.work import kind_of, workshop

from distwright.images.recipe import Recipe, includes_tar
from distwright.images.recipe_files import ImageFile
from distwright.images.rootfs import plan_customise
from distwright.jobs.step import Action, Context, Earlier, Inputs, Step, StepResult
from distwright.model.digests import Json, Sha256
from distwright.tools.sandbox import SANDBOX_USER, Sandbox, sandbox_for
from distwright.worker.execute import execute

pytestmark = pytest.mark.system
EPOCH = 1_704_888_000
FILES: Mapping[str, str] = {
    "hostname": "small\n",
    "hosts": "127.0.0.1 localhost\n",
    "live.sources": "Types: deb\n",
    "petrel.asc": "key\n",
    "os-release-more": "IMAGE_ID=small\n",
}
# Root of a namespace leaves a chroot so; see chroot(2).
BREAKOUT = r"""#!/usr/bin/perl
mkdir "/j"; chroot "/j" or die "chroot: $!"; chdir ".." for 1 .. 50; chroot "." or die "chroot: $!";
for my $way ("", "/proc/1/root", "/proc/1/cwd", "/proc/self/cwd", "/dev/left", "/dev/recipe/..") {
    opendir(my $folder, "$way/") or next;
    print "seen $way: ", join(" ", sort grep { !/^\./ } readdir $folder), "\n";
    print "reached $way\n" if -e "$way@SECRET@" || -e "$way/work" || -e "$way/home";
}
chdir "/"; rmdir "/j";
print "processes: ", join(" ", do { opendir(my $all, "/proc"); grep { /^\d/ } readdir $all }), "\n";
open(my $mounts, "<", "/proc/self/mountinfo"); print "mount $_" while <$mounts>;
open(my $net, "<", "/proc/net/dev"); my @devices = grep { /:/ } <$net>; print "devices: ", scalar @devices, "\n";
"""


@dataclass(frozen=True)
class Customised:
    """What came of a recipe: how it ended, what was said, and the tar."""

    outcome: str
    log: str
    root: Sha256 | None
    tar: bytes

    def members(self) -> dict[str, tarfile.TarInfo]:
        """Give the files of the tar by name."""
        with tarfile.open(fileobj=io.BytesIO(self.tar)) as tar:
            return {member.name: member for member in tar}

    def text(self, name: str) -> str:
        """Read a file of the tar."""
        with tarfile.open(fileobj=io.BytesIO(self.tar)) as tar:
            file = tar.extractfile(name)
            assert file is not None
            return file.read().decode()


@dataclass
class Customiser:
    """Customises as root or as a plain user does."""

    folder: Path
    user: str | None
    count: int = 0

    def __call__(self, *scripts: str, includes: tuple[ImageFile, ...] = ()) -> Customised:
        """Run hooks in a new installation."""
        self.count += 1
        home = self.folder / f"state-{self.count}"
        sandbox_for(os.geteuid()).make_folder(home)
        (home / "recipe").mkdir()
        owner = sandbox_for(os.geteuid()) if self.user is None else Sandbox(None)
        if self.user is not None:
            os.chown(home / "recipe", pwd.getpwnam(self.user).pw_uid, -1)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                _become(self.user)
                _customise(home, owner, scripts, includes)
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        said = json.loads((home / "recipe" / "said").read_text())
        tar = home / "recipe" / "tar"
        return Customised(said["outcome"], said["log"], said["root"], tar.read_bytes() if tar.exists() else b"")


@pytest.fixture(params=["started by root", "started by a user"] if IS_ROOT else ["started by a user"])
def customise(request: pytest.FixtureRequest) -> Iterator[Customiser]:
    """Give what customises as root does, and as a plain user does (root becomes one for that)."""
    with state_folder() as folder:
        (folder / HOST_SECRET).write_text("secret")
        yield Customiser(folder, SANDBOX_USER if IS_ROOT and request.param == "started by a user" else None)
        sandbox_for(os.geteuid()).remove(folder)


def test_a_hook_that_leaves_its_chroot_is_still_in_the_image(customise: Customiser) -> None:
    done = customise(BREAKOUT.replace("@SECRET@", str(customise.folder / HOST_SECRET)))
    assert done.outcome == "ok", done.log
    lines = done.log.splitlines()
    image = "bin boot dev etc j lib lib64 proc root run sbin sys tmp usr var"
    seen = {line for line in lines if line.startswith("seen ")}
    assert {f"seen : {image}", f"seen /proc/1/root: {image}", f"seen /dev/recipe/..: {_devices(seen)}"} <= seen
    assert {line.partition(": ")[2] for line in seen} <= {image, _devices(seen), ""}, "/dev/left is empty"
    assert [line for line in lines if line.startswith(("reached ", "devices: "))] == ["devices: 1"], "lo"
    [processes] = [line for line in lines if line.startswith("processes: ")]
    assert len(processes.split()) <= 4
    assert {line.split()[4] for line in lines if line.startswith("mount ")} > {"/"}
    assert not any(str(customise.folder) in line.split()[5] for line in lines if line.startswith("mount "))


def _devices(seen: set[str]) -> str:
    [line] = [line for line in seen if line.startswith("seen /dev/recipe/..")]
    return line.partition(": ")[2]


def test_owners_modes_links_capabilities_and_device_nodes_survive(customise: Customiser) -> None:
    hook = "#!/bin/sh\nset -eu\necho more >>/usr/bin/two\ntouch /new; chown 7:8 /new; ln /new /newer\n"
    done = customise(hook)
    assert done.outcome == "ok", done.log
    found = done.members()
    console, one, two, new = (found[f"./{name}"] for name in ("dev/console", "usr/bin/one", "usr/bin/two", "new"))
    assert (console.type, console.mode, console.devmajor, console.devminor) == (tarfile.CHRTYPE, 0o666, 5, 1)
    assert (one.uid, one.gid, two.islnk(), two.linkname) == (1000, 50, True, "./usr/bin/one")
    assert done.text("./usr/bin/two") == "me\nmore\n"
    assert (new.uid, new.gid, new.mtime, found["./newer"].linkname) == (7, 8, EPOCH, "./new")
    assert found["./usr/bin/ping"].pax_headers["SCHILY.xattr.security.capability"] == CAPABILITY
    assert (found["./tmp"].mode, found["."].mode, found["./usr/bin/sh"].linkname) == (0o1777, 0o755, "dash")
    names = [name for name in found if not name.startswith("./dev")]
    assert names == sorted(names)
    assert [name for name in found if name.startswith("./dev")] == ["./dev", "./dev/console"]
    assert {member.mtime for member in found.values()} == {1_700_000_000, EPOCH}
    assert not [name for name in found if "recipe" in name or "hook" in name or name == "./work"]


def test_includes_then_hooks_in_order_then_what_identifies_the_image(customise: Customiser) -> None:
    includes = (
        ImageFile("etc/order", b"include\n", is_executable=False),
        ImageFile("etc/hosts", b"own\n", is_executable=False),
        ImageFile("work/kept", b"", is_executable=True),
    )
    first = "#!/bin/sh\nset -eu\nenv | sort >/etc/environ; pwd >>/etc/environ; echo first >>/etc/order\n"
    second = "#!/bin/sh\nset -eu\necho second >>/etc/order; (setsid sleep 1000 &); echo x >/dev/null; ls /proc/self /sys >/run/x\n"
    done = customise(first, second, includes=includes)
    assert done.outcome == "ok", done.log
    assert done.text("./etc/order") == "include\nfirst\nsecond\n"
    assert done.text("./etc/environ").split("\n") == [
        "DEBIAN_FRONTEND=noninteractive", "HOME=/root", "LC_ALL=C.UTF-8", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "PWD=/",
        f"SOURCE_DATE_EPOCH={EPOCH}", "TZ=UTC", "/", "",
    ]  # fmt: skip
    assert (done.text("./etc/hostname"), done.text("./etc/hosts")) == ("small\n", "own\n")
    assert done.text("./usr/lib/os-release") == "ID=small\nIMAGE_ID=small\n"
    found = done.members()
    assert {"./work/kept", "./etc/apt/sources.list.d/live.sources", "./etc/apt/keyrings/petrel.asc"} <= set(found)
    assert not [name for name in found if name.startswith(("./run/", "./tmp/"))]


def test_same_recipe_gives_the_same_bytes_whoever_starts_it(customise: Customiser) -> None:
    hook = "#!/bin/sh\nmkdir -p /var/log /var/cache/apt; date >/run/x; echo $$ >/var/log/dpkg.log; ls /proc >/var/cache/apt/x.bin\n"
    first, second = customise(hook), customise(hook)
    assert (first.outcome, first.root) == ("ok", second.root)
    if IS_ROOT:
        other = Customiser(customise.folder / "other", SANDBOX_USER if customise.user is None else None)
        assert other(hook).root == first.root


def test_a_hook_that_fails_ends_it_with_its_last_words(customise: Customiser) -> None:
    done = customise("#!/bin/sh\necho no good; exit 7\n", "#!/bin/sh\necho later\n")
    assert (done.outcome, "later" in done.log) == ("failed", False)
    assert "ended with exit 7: no good" in done.log


def _become(user: str | None) -> None:
    if user is not None:
        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)


def _customise(home: Path, sandbox: Sandbox, scripts: tuple[str, ...], includes: tuple[ImageFile, ...]) -> None:
    shop = workshop(home / "recipe" / "state", sandbox)
    root = shop.objects.put(tool_root_tar())

    def give(_context: Context, _inputs: Inputs, _earlier: Earlier) -> StepResult:
        return StepResult({"root": root})

    recipe = Recipe(("small",), includes, {})
    inputs: dict[str, Json] = {
        "epoch": EPOCH,
        "files": dict(FILES),
        "includes": shop.objects.put(includes_tar(recipe, EPOCH)),
        "hooks": {f"{n:04}.hook.chroot": shop.objects.put(script.encode()) for n, script in enumerate(scripts)},
    }
    kind = kind_of(Action("tools", give), Action("root", give), Step("customise", plan_customise))
    ending = execute(kind, inputs, shop.context())
    outputs = ending.outputs or {}
    found = outputs.get("customise/root")
    if isinstance(found, str):
        (home / "recipe" / "tar").write_bytes(shop.objects.read(Sha256(found)))
    said = {"outcome": str(ending.outcome), "log": f"{shop.log()}\n{ending.message}", "root": found}
    (home / "recipe" / "said").write_text(json.dumps(said))
    shop.database.close()
