"""Orders of layers: over which image, of which packages, under which name; and why there is none."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.worlds.archive import DATE, make_deb
from tests.worlds.based import KEY, LATER, Based, based
from tests.worlds.repos import Files

from distwright.archive.resolve import NotReadyError
from distwright.config.tables import Image
from distwright.images.forms import LAYER_KIND, Purpose, compression_for
from distwright.images.layer_orders import other_orders
from distwright.images.layer_packages import NotLayered
from distwright.jobs.order import PRIORITY_BASE
from distwright.model.digests import Json, sha256_of
from distwright.store.jobs import list_jobs


@pytest.fixture
def world(tmp_path: Path) -> Based:
    return based(tmp_path)


def refused(world: Based) -> str:
    with pytest.raises(NotLayered) as reasons:
        world.layer()
    return reasons.value.message


def test_a_layer_is_ordered_over_the_image_that_differs_in_packages_of_ours_only(world: Based) -> None:
    name = world.build()
    world.hold(LATER, make_deb("kite"))
    world.push({"README": "nothing of the recipe\n"})
    made = world.layer()
    full = world.orders[0].inputs
    inputs = made.inputs
    own = f"-on-{name[-8:]}"
    assert re.fullmatch(
        r"petrel-amd64-2\.0-main-[0-9a-f]{12}-20240110T120000Z-[0-9a-f]{8}-on-[0-9a-f]{8}", str(inputs["name"])
    )
    assert str(inputs["name"]).endswith(own)
    assert (made.kind, made.priority > PRIORITY_BASE, inputs["outputs"]) == (LAYER_KIND, True, ["iso"])
    assert (inputs["base"], inputs["disk_info"], inputs["compression"]) == (full, inputs["name"], "zstd-3")
    assert inputs["packages"] == [
        {
            "name": "tern", "sha256": sha256_of(LATER.content), "size_bytes": len(LATER.content),
            "from": f"petrel/devel/{LATER.pool_path()}", "purged": True, "automatic": False,
        }
    ]  # fmt: skip
    files = inputs["files"]
    assert isinstance(files, dict)
    assert files["os-release-more"] == (
        f"IMAGE_ID={inputs['name']}\nIMAGE_VERSION=2.0\nDISTWRIGHT_BRANCH=main\nDISTWRIGHT_COMMIT={inputs['commit']}\n"
        f"DISTWRIGHT_LAYER_ON={name}\n"
    )
    assert inputs["commit"] != full["commit"]
    assert {hold.kind for hold in made.holds} == {"serial"}
    told = inputs["base_files"]
    assert isinstance(told, dict)
    assert set(told) == {"manifest.json", "source-packages"}


def test_the_same_order_twice_is_the_same(world: Based) -> None:
    world.build()
    world.hold(LATER)
    assert world.layer().digest == world.layer().digest


def test_without_an_image_there_is_no_layer(world: Based) -> None:
    assert refused(world) == "no image of petrel that was built in full is kept"
    name = world.build()
    assert refused(world) == "none of its packages that are ours has changed"
    with world.context.database.read() as tx:
        [job] = list_jobs(tx)
    outputs = job.outputs or {}
    files = outputs["files"]
    assert isinstance(files, dict)
    world.context.objects.discard(files[f"{name}.iso"], world.context.clock.date())
    world.context.objects.empty_trash(world.context.clock.date().replace(year=2100))
    assert refused(world) == "no image of petrel that was built in full is kept"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"images/petrel/hooks/0100-a.hook.chroot*": "#!/bin/sh\nfalse\n"}, "hooks"),
        ({"images/petrel/includes.chroot/etc/motd": "new\n"}, "included files"),
        ({"images/petrel/package-lists/base.list.chroot": "tern live-boot less\n"}, "packages of the recipe"),
        ({"images/petrel/preseed/a.cfg": "tern tern/a string b\n"}, "preseed"),
        ({"debian/petrel.asc": f"{KEY}other\n"}, "what the image is told of its sources and names"),
    ],
)
def test_what_else_changed_is_said(world: Based, more: Files, said: str) -> None:
    name = world.build()
    world.hold(LATER)
    world.push(more)
    assert refused(world) == f"{said} changed since {name}"


def test_an_archive_that_moved_is_said_by_its_suite(world: Based) -> None:
    world.build()
    full = world.orders[0].inputs
    root = full["root"]
    assert isinstance(root, dict)
    debian, *others = root["shelf"]
    moved: dict[str, Json] = {**full, "root": {**root, "shelf": [{**debian, "document": "1" * 64}, *others]}}
    assert other_orders(full, moved) == [f"the snapshot of debian/stable changed since {full['name']}"]
    assert other_orders(full, {**full, "tools": {}, "form": 99}) == [
        f"the version of distwright changed since {full['name']}", f"tools changed since {full['name']}",
    ]  # fmt: skip


def test_the_newest_image_that_fits_is_the_base(world: Based) -> None:
    first = world.build()
    world.push({"images/petrel/hooks/0200-b.hook.chroot*": "#!/bin/sh\ntrue\n"})
    second = world.build()
    world.hold(LATER)
    assert world.layer().inputs["base"] == world.orders[1].inputs
    world.push()
    assert world.layer().inputs["base"] == world.orders[0].inputs
    assert first != second


def test_a_suite_from_which_apt_takes_nothing_by_itself_and_preferences_speak_against_it(world: Based) -> None:
    world.push({"images/petrel/archives/a.pref.chroot": "Package: tern\nPin: version 1*\nPin-Priority: 1\n"})
    world.build()
    world.hold(LATER)
    assert refused(world) == "the recipe has preferences of apt, which decide what a full build takes"


def test_other_maintainer_scripts_speak_against_it(world: Based) -> None:
    world.build()
    world.hold(make_deb("tern", "1.1", scripts={"postinst": "#!/bin/sh\nfalse\n", "prerm": "#!/bin/sh\n"}))
    assert refused(world) == "tern has another postinst; tern has another prerm"


def test_what_a_full_build_lacks_a_layer_lacks_too(world: Based) -> None:
    world.context.clock = DATE - timedelta(hours=1)
    with pytest.raises(NotReadyError):
        world.layer()


def test_the_table_decides_how_it_is_packed_and_else_what_it_is_for(world: Based) -> None:
    assert {purpose: compression_for(purpose, None) for purpose in Purpose} == {
        "topic": "zstd-3", "layer": "zstd-3", "base": "zstd-9", "tag": "zstd-19",
    }  # fmt: skip
    assert {compression_for(purpose, "xz") for purpose in Purpose} == {"xz"}
    world.build()
    assert "compression" not in world.orders[0].inputs, "as before there was a purpose"
    table = world.context.config.images["petrel"]
    assert isinstance(table, Image)
    chosen = table.model_copy(update={"compression": "zstd-19"})
    world.context.config = replace(world.context.config, images={"petrel": chosen})
    world.build()
    world.hold(LATER)
    assert world.layer().inputs["compression"] == "zstd-19"
