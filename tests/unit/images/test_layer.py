"""The actions of a layer: what it weighs, what is said of the image, what follows; with replays that a test makes up."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.unit.images.test_account import copyrights
from tests.worlds.archive import make_deb, make_source
from tests.worlds.based import LATER, LIVE_BOOT, Based, based
from tests.worlds.debs import Member, tar_of
from tests.worlds.times import NOW

from distwright.errors import WorkFailed
from distwright.formats.tarstates import read_states
from distwright.images.forms import FORM
from distwright.images.iso import plan_iso
from distwright.images.layer import IMAGE_LAYER, weigh
from distwright.images.recipe_files import ImageFile
from distwright.images.recipe_files import tar_of as files_tar
from distwright.jobs.step import Action, Step, StepResult
from distwright.model.digests import Json, Sha256
from distwright.model.events import EventKind

STATUS = (
    "Package: live-boot\nStatus: install ok installed\nVersion: 1.0\n\n"
    "Package: tern\nStatus: install ok installed\nVersion: {tern}\n"
)
FOLDERS = [
    Member(path, None, 0o755)
    for path in ("", "usr", "usr/share", "usr/share/tern", "var", "var/lib", "var/lib/dpkg", "var/lib/dpkg/info")
]
LIST = Member("var/lib/dpkg/info/tern.list", b"/.\n/usr\n/usr/share\n/usr/share/tern\n/usr/share/tern/file\n")
INSTALLED = b"live-boot\t1.0\tamd64\tinstalled\ntern\t1.1\tamd64\tinstalled\n"


@dataclass
class World:
    """A layer of tern 1.1. before, after: members of what the replay with it touched; status: of dpkg then."""

    based: Based
    inputs: dict[str, Json]
    after: list[Member]
    installed: bytes = INSTALLED
    linked: bytes = b""
    initrd: bytes = b"usr/bin/kmod\0"
    base_initrd: bytes = b"usr/bin/kmod\0"
    values: dict[str, StepResult] = field(default_factory=dict)

    def put(self, content: bytes) -> Sha256:
        """Keep an object."""
        return self.based.context.objects.put(content)

    def earlier(self) -> dict[str, StepResult]:
        """Give what the steps before `weigh` left."""
        before = [*FOLDERS, Member("usr/share/tern/file", b"1.0"), Member("usr/share/tern/gone", b"1.0"), LIST]
        touched = {member.path for member in (*before, *self.after)}
        return {
            "tools": StepResult({"root": self.put(b"tools")}),
            "initrd": StepResult({"vmlinuz": self.put(b"kernel"), "initrd": self.put(b"initrd")}),
            "squashfs": StepResult({"squashfs": self.put(b"base squashfs")}),
            "replay": self._replay(FOLDERS, FOLDERS, {member.path for member in FOLDERS}, self.base_initrd),
            "layer": self._replay(before, self.after, touched, self.initrd),
            **self.values,
        }

    def _replay(self, before: list[Member], after: list[Member], touched: set[str], initrd: bytes) -> StepResult:
        names = b"".join(f"./{path}\0".encode() if path else b".\0" for path in sorted(touched))
        return StepResult(
            {
                "before.tar": self.put(tar_of(before)), "after.tar": self.put(tar_of(after)), "touched": self.put(names),
                "linked": self.put(self.linked), "names": self.put(initrd), "installed": self.put(self.installed),
                "copyrights": self.put(copyrights({"tern": b"text"})),
            }
        )  # fmt: skip

    def weigh(self) -> StepResult:
        """Weigh it."""
        return weigh(self.based.context, self.inputs, self.earlier())

    def run(self) -> dict[str, StepResult]:
        """Run the actions, with what programs would have given between them."""
        earlier, given = self.earlier(), {"pack": {"squashfs": b"delta"}, "iso": {"iso": b"an iso"}}
        actions = {step.name: step for step in IMAGE_LAYER.steps if isinstance(step, Action)}
        for name in ("weigh", "account", "pack", "iso", "describe"):
            if name in given:
                earlier[name] = StepResult({key: self.put(content) for key, content in given[name].items()})
            else:
                earlier[name] = actions[name].perform(self.based.context, self.inputs, earlier)
        return earlier


def members(version: str = "1.1", *more: Member) -> list[Member]:
    status = Member("var/lib/dpkg/status", STATUS.format(tern=version).encode())
    return [*FOLDERS, Member("usr/share/tern/file", version.encode()), LIST, status, *more]


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = based(tmp_path)
    made.build()
    made.hold(LATER, make_source("tern", "1.1"))
    return World(made, dict(made.layer().inputs), members())


def test_the_layer_is_a_tar_of_what_differs(world: World) -> None:
    with world.based.context.objects.open(world.weigh().outputs["layer"]) as file:
        states = read_states(file).states
    assert {path: state.what for path, state in states.items() if not state.is_folder and path.startswith("usr")} == {
        "usr/share/tern/file": states["usr/share/tern/file"].what, "usr/share/tern/gone": "0:0",
    }  # fmt: skip
    assert "var/lib/dpkg/status" in states
    assert any("1 of them gone" in line for line in world.based.context.lines)


def test_the_same_replays_give_the_same_layer(world: World) -> None:
    assert world.weigh() == world.weigh()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"linked": b"./usr/share/tern/file\0"}, "/usr/share/tern/file: a file with several names"),
        ({"initrd": b"usr/bin/kmod\0usr/share/tern/file\0", "base_initrd": b"usr/bin/kmod\0usr/share/tern/file\0"},
         "/usr/share/tern/file: the initrd is made from it"),
        ({"installed": b"tern\t1.1\tamd64\tinstalled\n"}, "live-boot is there in one of both only"),
        ({"after": members("1.1")[:-1]}, "has no content in its tar"),
        ({"after": [*members("1.1")[:-1], Member("var/lib/dpkg/status", STATUS.format(tern="1.1").encode() + b"Depends: gull\n")]},
         "tern needs gull"),
    ],
)  # fmt: skip
def test_what_speaks_against_it_is_logged_and_ends_it(world: World, change: Mapping[str, object], said: str) -> None:
    for name, value in change.items():
        setattr(world, name, value)
    done = world.run()
    assert done["weigh"].outputs == {}
    objections = done["weigh"].values["objections"]
    assert isinstance(objections, list)
    assert said in objections[0]
    assert f"no layer: {objections[0]}" in world.based.context.lines
    assert (done["account"].outputs, done["describe"].outputs) == ({}, {})
    planned = [step for step in IMAGE_LAYER.steps if isinstance(step, Step) and step.name in ("pack", "iso")]
    assert [step.plan(world.inputs, done).commands for step in planned] == [(), ()]
    ended = IMAGE_LAYER.conclude(world.inputs, done, NOW, 7)
    assert (ended.outputs, ended.events, ended.heir) == ({"objections": objections}, (), "")
    assert ended.message == f"no layer: {objections[0]}"
    assert not (world.based.context.paths.public / "images").exists()


def test_files_that_come_before_all_packages_speak_against_packages_that_ship_them(world: World) -> None:
    early = [
        ImageFile("usr/share/tern/file", b"early", is_executable=False),
        ImageFile("etc/x", b"", is_executable=False),
    ]
    world.inputs["before"] = str(world.put(files_tar(early, 1)))
    assert world.weigh().values == {"objections": ["/usr/share/tern/file comes before all packages"]}


def test_a_new_package_of_ours_that_something_asks_for_speaks_against_it(world: World) -> None:
    world.based.hold(LATER, make_deb("gull", fields={"Provides": "sea-bird"}))
    world.inputs = dict(world.based.layer().inputs)
    assert "layer" in world.weigh().outputs
    status = STATUS.format(tern="1.1") + "Pre-Depends: live-boot | sea-bird\n"
    world.after = [*members()[:-1], Member("var/lib/dpkg/status", status.encode())]
    assert world.weigh().values == {"objections": ["gull may be what is asked for as sea-bird"]}


def test_what_is_said_of_the_image_is_true_of_it_and_names_its_base(world: World) -> None:
    done = world.run()
    name, base = str(world.inputs["name"]), str(world.based.orders[0].inputs["name"])
    folder = world.based.context.paths.public / "images" / name
    text = {path.name.removeprefix(f"{name}."): path.read_bytes() for path in folder.iterdir()}
    manifest = json.loads(text["manifest.json"])
    assert (manifest["image"], manifest["layer_on"]) == (name, base)
    assert manifest["states"] == world.inputs["states"]
    rows = [(row["name"], row["version"], row["installed"], row["from"]) for row in manifest["packages"]]
    assert rows == [
        ("live-boot", "1.0", True, [f"debian/stable/{LIVE_BOOT.pool_path()}"]),
        ("tern", "1.1", True, [f"petrel/devel/{LATER.pool_path()}"]),
    ]  # fmt: skip
    assert text["packages"] == b"live-boot\t1.0\ntern\t1.1\n"
    sources = [line.split("\t")[:3] for line in text["source-packages"].decode().splitlines()]
    assert sources[0] == ["live-boot", "1.0", "debian/stable/x.dsc"], "of the base: not looked for again"
    assert sources[1][2].startswith("petrel/devel/pool/main/t/tern/tern_1.1")
    assert b"tern@1.1" in text["cdx.json"]
    assert b"tern@1.0" not in text["cdx.json"]
    statement = json.loads(text["intoto.json"])["predicate"]["buildDefinition"]
    assert statement["buildType"].endswith(f"image.layer:form-{FORM}")
    assert statement["internalParameters"]["layer_on"] == base
    assert {line.partition("  ")[2].removeprefix(f"{name}.") for line in text["SHA256SUMS"].decode().splitlines()} == {
        "iso", "manifest.json", "packages", "cdx.json", "spdx.json", "licences.json", "sources", "source-packages",
        "intoto.json",
    }  # fmt: skip
    ended = IMAGE_LAYER.conclude(world.inputs, done, NOW, 7)
    [event] = ended.events
    assert (event.kind, event.subject, event.body["layer_on"]) == (EventKind.IMAGE_BUILT, name, base)
    assert ended.message == f"built {name}.iso, a layer on {base}"
    assert ended.heir == "image 7"


def test_a_package_that_came_from_nowhere_fails_it(world: World) -> None:
    world.installed = INSTALLED.replace(b"live-boot\t1.0", b"live-boot\t1.0.1")
    with pytest.raises(WorkFailed, match=r"live-boot 1\.0\.1"):
        world.run()


def test_the_medium_has_both_and_says_in_which_order_they_lie(world: World) -> None:
    done = world.run()
    plan = plan_iso(world.inputs, done)
    assert plan.place["filesystem.squashfs"] == done["squashfs"].outputs["squashfs"]
    assert plan.place["10-delta.squashfs"] == done["pack"].outputs["squashfs"]
    assert plan.write["filesystem.module"] == "filesystem.squashfs\n10-delta.squashfs\n"
    script = plan.write["iso.sh"]
    assert "cp filesystem.squashfs 10-delta.squashfs filesystem.module vmlinuz initrd.img iso/live/\n" in script
    assert "id=$(cat disk-info 10-delta.squashfs filesystem.module initrd.img vmlinuz |" in script
    full = plan_iso(world.based.orders[0].inputs, done)
    assert "10-delta.squashfs" not in full.place
    assert "filesystem.module" not in full.write


def test_steps_of_the_base_are_planned_by_its_own_order(world: World) -> None:
    steps = {step.name: step for step in IMAGE_LAYER.steps if isinstance(step, Step)}
    root = steps["root"].plan(world.inputs, {})
    changed = {**world.inputs, "root": {}, "files": {}, "epoch": 0, "excludes": "0" * 64}
    assert steps["root"].plan(changed, {}) == root
    earlier = {**world.earlier(), "customise": StepResult({"root": world.put(b"root"), "initrd-root": world.put(b"x")})}
    for name in ("customise", "initrd", "squashfs"):
        earlier = {**earlier, "root": StepResult({"root": world.put(b"root")})}
        assert steps[name].plan(changed, earlier) == steps[name].plan(world.inputs, earlier), name
