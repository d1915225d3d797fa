"""What a recipe may have beside packages, includes and hooks: an input each, if it is there, and a place in a plan."""

import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import replace

import pytest
from tests.habits.samples import EARLIER
from tests.unit.images.test_resolve import FILES, installation, order
from tests.worlds.archive import make_deb
from tests.worlds.installation import WorldContext
from tests.worlds.repos import Files, commit

from distwright.archive.shelf import Shelf
from distwright.errors import BadInput
from distwright.images.iso import plan_iso, plan_squashfs
from distwright.images.manifest import manifest_of
from distwright.images.rootfs import plan_root
from distwright.jobs.step import Inputs, Plan, ShelfEntry
from distwright.model import plain
from distwright.model.digests import Json, Sha256

BEFORE_ISSUE_4 = {
    "image", "name", "commit", "epoch", "root", "tools", "files", "states", "title", "label", "disk_info", "kernel_options",
    "includes", "hooks",
}  # fmt: skip
OF_FORM_2 = {
    "asked_at",
    "form",
    "repo",
    "branch",
    "version",
    "url",
    "outputs",
    "vendors",
    "keyrings",
}  # forms.py; of every image
OURS = make_deb("ours", "1.0")


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> WorldContext:
    """Give one installation for all: each test commits a recipe of its own."""
    return installation(tmp_path_factory.mktemp("installation"))


def ordered(context: WorldContext, more: Files, **settings: object) -> Mapping[str, Json]:
    """Order with more files in the recipe and other settings of the image."""
    commit(context.paths, "live", {**FILES, **{f"images/petrel/{path}": text for path, text in more.items()}})
    image = context.config.images["petrel"].model_copy(update=settings)
    config = context.config
    context.config = replace(config, images={"petrel": image})
    try:
        return order(context).inputs
    finally:
        context.config = config


def added(inputs: Inputs) -> set[str]:
    return set(inputs) - BEFORE_ISSUE_4 - OF_FORM_2


def hooks_in(plan: Plan, kind: str) -> list[str]:
    argv = plan.commands[0].argv
    return [argv[at + 1] for at, word in enumerate(argv) if word == f"--{kind}-hook"]


def tar_in(context: WorldContext, digest: Json) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(context.objects.read(Sha256(str(digest))))) as tar:
        return {member.name: content.read() for member in tar if (content := tar.extractfile(member)) is not None}


def test_a_recipe_with_nothing_new_has_the_inputs_that_it_always_had(context: WorldContext) -> None:
    inputs = ordered(context, {})
    assert set(inputs) == BEFORE_ISSUE_4 | OF_FORM_2
    assert set(plain.mapping(inputs, "root")) == {
        "shelf", "components", "variant", "include", "architecture", "epoch",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("files", "settings", "keys"),
    [
        ({"includes.chroot_before_packages/etc/a": "a"}, {}, {"before"}),
        ({"preseed/a.cfg": "x a/b string c\n"}, {}, {"preseed"}),
        ({"archives/a.pref.chroot": "x"}, {}, {"preferences"}),
        ({"rootfs/excludes": "boot\n"}, {}, {"excludes"}),
        ({"includes.binary/a": "a"}, {}, {"medium"}),
        ({"hooks/a.hook.binary": "#!/bin/sh\n"}, {}, {"medium_hooks"}),
        ({"bootloaders/grub-pc/grub.cfg": "x"}, {}, {"menu"}),
        ({"bootloaders/grub-pc/splash.png": "x"}, {}, {"menu", "medium"}),
        ({"packages.chroot/a_1_all.deb": OURS.content}, {}, {"preferences"}),
        ({}, {"recommends": True}, {"recommends"}),
        ({}, {"documentation": True}, {"documentation"}),
        ({}, {"compression": "xz"}, {"compression"}),
        (
            {},
            {"compression": "zstd-9", "title": "X", "label": "X", "live_user": "guest", "variant": "important"},
            set(),
        ),
    ],
)
def test_each_thing_is_an_input_of_its_own_and_another_name(
    context: WorldContext, files: Files, settings: dict[str, object], keys: set[str]
) -> None:
    inputs = ordered(context, files, **settings)
    assert added(inputs) == keys
    assert str(inputs["name"])[-8:] != str(ordered(context, {})["name"])[-8:]


def test_title_label_user_and_variant_are_those_of_the_table(context: WorldContext) -> None:
    inputs = ordered(
        context, {}, title="Live @VERSION@!", label="A label of @VERSION@ that is too long", live_user="guest",
        variant="important",
    )  # fmt: skip
    assert (inputs["title"], inputs["label"]) == ("Live 2.0~rc1!", "A label of 2.0~rc1 that is too l")
    assert inputs["kernel_options"] == ["quiet", "username=guest"]
    assert plain.mapping(inputs, "root")["variant"] == "important"


def test_conditions_are_met_by_what_the_image_is(context: WorldContext) -> None:
    text = "#if DISTRIBUTION stable\nof-debian\n#endif\n#if APT_RECOMMENDS true\nof-security\n#endif\n"
    inputs = ordered(context, {"package-lists/more.list": text})
    assert plain.mapping(inputs, "root")["include"] == ["live-boot", "of-debian", "sudo"]


def test_sources_of_the_recipe_must_be_those_of_the_table(context: WorldContext) -> None:
    known = "deb https://archive.example/debian/ @DISTRIBUTION@ main\n"
    assert added(ordered(context, {"archives/a.list.chroot": known})) == set()
    with pytest.raises(
        BadInput, match=r"archives/b\.list:1: 'https://b\.example' stable main is the live_url of no suite"
    ):
        ordered(context, {"archives/b.list": "deb https://b.example stable main\n"})


def test_own_packages_are_a_suite_that_apt_prefers_and_the_manifest_names(context: WorldContext) -> None:
    inputs = ordered(context, {"packages.chroot/ours_1.0_all.deb": OURS.content})
    root = plain.mapping(inputs, "root")
    assert root["include"] == ["live-boot", "ours", "sudo"]
    assert plain.mapping(root, "components")["_recipe/recipe"] == ["main"]
    assert "_recipe/recipe" not in plain.mapping(inputs, "states")
    [preferences] = plain.digest_map(inputs, "preferences").items()
    assert preferences[0] == "00recipe"
    assert (
        context.objects.read(preferences[1]) == b"Package: ours\nPin: release o=recipe,l=recipe\nPin-Priority: 1001\n"
    )

    entry = ShelfEntry.from_json(plain.members(root, "shelf")[0])
    assert plan_root(inputs, {}).commands[0].argv[-6:-4] == ("stable", "root.tar")
    shelf = Shelf([entry], context, context.paths.cache / "pool")
    opened, _ = shelf.find(f"_recipe/{OURS.pool_path()}")
    with opened:
        assert opened.read() == OURS.content
    manifest = json.loads(manifest_of("x", shelf.fetched, frozenset(), {}, context.objects))
    assert [package["from"] for package in manifest["packages"]] == [[f"_recipe/recipe/{OURS.pool_path()}"]]
    release, _ = shelf.find("_recipe/dists/recipe/Release")
    with release:
        assert {b"Origin: recipe", b"Label: recipe"} <= set(release.read().splitlines())


def test_own_packages_that_are_none_or_two_of_one_name_are_refused_together(context: WorldContext) -> None:
    newer, foreign = make_deb("ours", "2.0"), make_deb("other", architecture="i386")
    with pytest.raises(BadInput) as caught:
        ordered(context, {
            "packages.chroot/a_1_all.deb": OURS.content, "packages.chroot/b_1_all.deb": newer.content,
            "packages.chroot/c_1_all.deb": b"!<arch>\n", "packages.chroot/d_1_all.deb": foreign.content,
        })  # fmt: skip
    head, *lines = caught.value.message.split("\n")
    assert head == "packages.chroot/ has problems:"
    assert [line.strip().partition(", control.tar")[0] for line in lines] == [
        "c_1_all.deb is no sound package: a .deb has debian-binary", "d_1_all.deb is for i386", "ours is there more than once",
    ]  # fmt: skip


def test_answers_and_early_includes_come_before_all_packages_but_the_essential_ones(context: WorldContext) -> None:
    inputs = ordered(context, {"preseed/a.cfg": "x a/b string c\n", "includes.chroot_before_packages/etc/a": "a"})
    plan = plan_root(inputs, {})
    assert hooks_in(plan, "essential") == ['sh {work}/essential.sh "$1"']
    assert plan.write["essential.sh"].startswith("#!/bin/sh\n")
    keeps = "force-confold"
    assert keeps in plan.commands[0].argv
    assert keeps not in plan_root(ordered(context, {"preseed/a.cfg": "x a/b string c\n"}), {}).commands[0].argv
    assert set(plan.place) == {"preseed/0000-a.cfg", "before.tar"}
    assert tar_in(context, inputs["before"]) == {"etc/a": b"a"}


def test_pins_are_there_from_the_beginning_and_gone_at_the_end(context: WorldContext) -> None:
    plan = plan_root(ordered(context, {"archives/a.pref.chroot": "x"}), {})
    setup, nameless = hooks_in(plan, "setup")
    assert nameless == "hostname localhost"
    forget_machine, forget_pins = hooks_in(plan, "customize")
    assert set(plan.place) == {"preferences/a.pref"}
    assert "{work}/preferences/*" in setup
    assert "{work}/preferences/*" in forget_pins
    assert "preferences" not in forget_machine


def test_recommended_packages_come_if_the_table_says_so(context: WorldContext) -> None:
    said = 'APT::Install-Recommends "true"'
    assert said in plan_root(ordered(context, {}, recommends=True), {}).commands[0].argv
    assert said not in plan_root(ordered(context, {}), {}).commands[0].argv


def test_documentation_stays_if_the_table_says_so(context: WorldContext) -> None:
    excluded = "path-exclude=/usr/share/man/*"
    assert excluded not in plan_root(ordered(context, {}, documentation=True), {}).commands[0].argv
    assert excluded in plan_root(ordered(context, {}), {}).commands[0].argv


@pytest.mark.parametrize(
    ("compression", "words"),
    [("zstd-3", "zstd -Xcompression-level 3"), ("zstd-19", "zstd -Xcompression-level 19"), ("xz", "xz -b 1M")],
)
def test_the_squashfs_is_packed_as_the_table_says_without_what_is_excluded(
    context: WorldContext, compression: str, words: str
) -> None:
    plan = plan_squashfs(ordered(context, {"rootfs/excludes": "boot/*"}, compression=compression), EARLIER)
    assert f"-comp {words}" in plan.write["squashfs.sh"]
    assert "-wildcards -ef excludes" in plan.write["squashfs.sh"]
    assert context.objects.read(plan.place["excludes"]) == b"boot/*\n"


def test_a_medium_has_grubs_files_then_includes_then_what_its_hooks_do(context: WorldContext) -> None:
    inputs = ordered(context, {
        "bootloaders/grub-pc/grub.cfg": "set timeout=30\n@LINUX_LIVE@\n", "bootloaders/grub-pc/a.cfg": "@APPEND_LIVE@",
        "bootloaders/grub-pc/b.cfg": "1", "includes.binary/boot/grub/b.cfg": "2", "hooks/1.hook.binary": "#!/bin/sh\n",
    })  # fmt: skip
    assert tar_in(context, inputs["medium"]) == {
        "boot/grub/a.cfg": b"boot=live components quiet\n",
        "boot/grub/b.cfg": b"2",
    }
    plan = plan_iso(inputs, EARLIER)
    menu = plan.write["grub.cfg"]
    assert menu.startswith("search --no-floppy --set=root --file /.disk/id/@ID@\n")
    assert menu.endswith(
        "set timeout=5\nset timeout=30\nmenuentry 'Petrel 2.0~rc1' {\n    linux /live/vmlinuz boot=live components quiet\n"
        "    initrd /live/initrd.img\n}\n"
    )
    script = plan.write["iso.sh"]
    assert (
        script.index("medium.tar")
        < script.index("medium-hooks/")
        < script.index("mkfs.vfat")
        < script.index("md5sum.txt")
    )
    assert set(plan.place) >= {"medium.tar", "medium-hooks/1.hook.binary"}
    assert "with-grub" in plan.write


def test_a_menu_of_the_recipe_alone_needs_grubs_modules_and_no_tar(context: WorldContext) -> None:
    plan = plan_iso(ordered(context, {"bootloaders/grub-pc/grub.cfg": "@LINUX_LIVE@"}), EARLIER)
    assert ("with-grub" in plan.write, "medium.tar" in plan.place) == (True, False)
