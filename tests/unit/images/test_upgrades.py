"""What is said of upgrades: from the beginning, signed, never less than there is; and which kits can be ordered and believed."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.habits.samples import INPUTS
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.keys import signer
from tests.worlds.killing import run_killed_at

from distwright.errors import BadInput, NotFound, Refused, WorkFailed
from distwright.images.kit_descriptions import (
    Description,
    Release,
    Upgrade,
    read_description,
    upgrade_by,
)
from distwright.images.kit_orders import kit_order
from distwright.images.kit_verifying import verified_copy
from distwright.images.kits import gone_of
from distwright.images.upgrades import described, say_no_upgrade, say_upgrade
from distwright.jobs.order import JobOrder, place_order
from distwright.jobs.step import KindName
from distwright.model import plain
from distwright.model.digests import Json, Sha256, canonical_json, sha256_of
from distwright.model.events import Event, EventKind
from distwright.signing.verify import Keyring
from distwright.store.events import append_event
from distwright.store.holds import holds_of

ORDER: Mapping[str, Json] = {**plain.mapping(INPUTS["image.kit"], "order"), "branch": "main"}
NOTHING = Description("petrel", "main", Release("petrel-amd64-1.0", "1.0"))
KITS = {name: f"a kit to {name}".encode() for name in ("petrel-amd64-1.1", "petrel-amd64-1.2")}


def upgrade(name: str, content: bytes | None = None) -> Upgrade:
    kit = KITS[name] if content is None else content
    return Upgrade(Release(name, name[-3:]), f"{name}.kit.tar", sha256_of(kit), len(kit))


@pytest.fixture
def context(tmp_path: Path) -> WorldContext:
    context = make_context(tmp_path)
    for kit in KITS.values():
        context.objects.put(kit)
    return context


def seen(context: WorldContext) -> Description:
    """See the upgrades as a device does: the signature is right, and the kits that are named are there and no others."""
    folder = context.paths.public / "images" / "upgrades" / "petrel-amd64-1.0"
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    content, signature = files.pop("upgrades.json"), files.pop("upgrades.json.asc")
    keyring = Keyring(signer("image").certificate(), "the image key")
    found = read_description(keyring.verify_detached(content, signature, "upgrades.json").content)
    assert {name: sha256_of(kit) for name, kit in files.items()} == {one.url: one.sha256 for one in found.upgrades}
    return found


def test_an_image_has_no_upgrade_from_the_beginning_and_keeps_those_that_come(context: WorldContext) -> None:
    assert described(context, "petrel-amd64-1.0") is None
    say_no_upgrade(context, ORDER)
    assert seen(context) == NOTHING
    first, second = map(upgrade, KITS)
    say_upgrade(context, NOTHING, second)
    say_upgrade(context, NOTHING, first)
    say_upgrade(context, NOTHING, second)
    say_no_upgrade(context, ORDER)
    assert seen(context) == replace(NOTHING, upgrades=(first, second))
    with context.database.read() as tx:
        held = {hold.target for hold in holds_of(tx, "upgrades petrel-amd64-1.0")}
    assert {sha256_of(kit) for kit in KITS.values()} < held
    assert described(context, "petrel-amd64-1.0") == seen(context)


def test_a_kit_that_was_made_anew_stands_for_the_old_one(context: WorldContext) -> None:
    [name, _] = KITS
    say_upgrade(context, NOTHING, upgrade(name))
    context.objects.put(b"a better kit")
    say_upgrade(context, NOTHING, upgrade(name, b"a better kit"))
    assert seen(context) == replace(NOTHING, upgrades=(upgrade(name, b"a better kit"),))


def test_a_kill_at_any_moment_leaves_a_description_that_is_whole(context: WorldContext) -> None:
    say_no_upgrade(context, ORDER)
    new = upgrade("petrel-amd64-1.1")
    number, done = 0, None
    while done is None:
        number += 1
        done = run_killed_at(number, lambda: say_upgrade(context, NOTHING, new))
        assert seen(context) in (NOTHING, replace(NOTHING, upgrades=(new,)))
    assert number > 8
    assert seen(context).upgrades == (new,)


def test_the_description_is_these_very_bytes() -> None:
    written = replace(NOTHING, upgrades=(upgrade("petrel-amd64-1.1"),)).to_bytes()
    kit = KITS["petrel-amd64-1.1"]
    assert written == canonical_json(
        {
            "format": 1,
            "product": "petrel",
            "channel": "main",
            "initial": {"name": "petrel-amd64-1.0", "version": "1.0"},
            "upgrades": [
                {
                    "type": "kit",
                    "target": {"name": "petrel-amd64-1.1", "version": "1.1"},
                    "url": "petrel-amd64-1.1.kit.tar",
                    "sha256": str(sha256_of(kit)),
                    "size_bytes": len(kit),
                }
            ],
        }
    )


RELEASES = st.builds(Release, st.text(max_size=9), st.text(max_size=9))
UPGRADES = st.builds(Upgrade, RELEASES, st.text(), st.binary().map(sha256_of), st.integers(0))


@given(
    st.builds(
        Description,
        st.text(),
        st.text(),
        RELEASES,
        st.lists(UPGRADES, unique_by=lambda one: one.target.name).map(tuple),
    )
)
def test_what_is_written_is_read_whatever_order_the_upgrades_came_in(description: Description) -> None:
    read = read_description(description.to_bytes())
    assert replace(read, upgrades=()) == replace(description, upgrades=())
    assert set(read.upgrades) == set(description.upgrades)
    assert read.to_bytes() == description.to_bytes()


def test_every_cut_and_every_wrong_value_is_refused_and_what_came_later_is_passed_over() -> None:
    whole = replace(NOTHING, upgrades=(upgrade("petrel-amd64-1.1"),)).to_bytes()
    for end in range(len(whole) - 1):
        with pytest.raises(BadInput):
            read_description(whole[:end])
    for old, new in ((b'"size_bytes":25', b'"size_bytes":"x"'), (b'"type":"kit"', b'"type":7'), (b'"1.1"', b"1")):
        assert old in whole
        with pytest.raises(BadInput):
            read_description(whole.replace(old, new))
    with pytest.raises(Refused, match="has format 2"):
        read_description(whole.replace(b'"format":1', b'"format":2'))
    assert read_description(whole.replace(b'"type":"kit"', b'"type":"wave"')) == NOTHING


def folder_of_ours(place: Path, name: str) -> Path:
    (place / name).mkdir()
    return place / name


def test_what_is_gone_is_so_by_names_that_know_no_case() -> None:
    old = {"docs/readme.html": "a", "live/old": "b", ".disk/id/x": "c"}
    assert gone_of(old, {"docs/README.html": "a"}) == ["live/old"]
    with pytest.raises(WorkFailed, match=r"a/[Bb] and a/[Bb] are one file on a stick"):
        gone_of({}, {"a/b": "1", "a/B": "2"})


def test_only_a_kit_that_the_signed_description_names_is_believed(context: WorldContext, tmp_path: Path) -> None:
    say_upgrade(context, NOTHING, upgrade("petrel-amd64-1.1"))
    folder = context.paths.public / "images" / "upgrades" / "petrel-amd64-1.0"
    kit, description = folder / "petrel-amd64-1.1.kit.tar", folder / "upgrades.json"
    keyring = Keyring(signer("image").certificate(), "the image key")
    copy, *said = verified_copy(kit, description, keyring, folder_of_ours(tmp_path, "good"))
    assert said == [seen(context), upgrade("petrel-amd64-1.1")]
    assert copy.read_bytes() == KITS["petrel-amd64-1.1"]
    other = tmp_path / "other.kit.tar"
    other.write_bytes(KITS["petrel-amd64-1.2"])
    with pytest.raises(Refused, match="the kit is none of the 1 upgrades from petrel-amd64-1.0".replace(".", r"\.")):
        verified_copy(other, description, keyring, folder_of_ours(tmp_path, "other"))
    with pytest.raises(Refused):
        verified_copy(kit, description, Keyring(signer("petrel").certificate(), "another key"), tmp_path)
    with pytest.raises(NotFound, match=r"upgrades\.json is no file"):
        verified_copy(other, tmp_path / "upgrades.json", keyring, tmp_path)
    other.write_bytes(bytes(26))
    with pytest.raises(Refused, match="longer than any kit"):
        verified_copy(other, description, keyring, folder_of_ours(tmp_path, "long"))
    assert upgrade_by(seen(context), sha256_of(KITS["petrel-amd64-1.1"])).size_bytes == 25


def built(
    context: WorldContext, name: str, epoch: int, *, image: str = "petrel", usb: bytes | None = b"usb", branch: str = "main",
    less: str = "633",
) -> None:  # fmt: skip
    """Write down that an image was built. less: the version of its package of that name."""
    inputs = {**ORDER, "name": name, "version": name[-3:], "epoch": epoch, "image": image, "branch": branch}
    packages: list[Json] = [{"name": "less", "version": less, "installed": True}]
    files: dict[str, Json] = {} if usb is None else {f"{name}.usb.img": str(sha256_of(usb + name.encode()))}
    body: dict[str, Json] = {
        "image": image, "name": name, "files": files, "commit": "0" * 40, "states": {},
        "manifest": context.objects.put(canonical_json({"packages": packages})),
    }  # fmt: skip
    with context.database.write() as tx:
        job = place_order(tx, JobOrder(KindName("image.build", 1), inputs, f"build image {name}"), context.now())
        append_event(tx, Event(EventKind.IMAGE_BUILT, context.now(), name, body, job.id))


def test_a_kit_is_ordered_from_an_image_to_a_later_one_of_the_same_table(context: WorldContext) -> None:
    built(context, "petrel-amd64-1.0", 100)
    built(context, "petrel-amd64-1.1", 200)
    order = kit_order(context.database, context.objects, context.config, "petrel-amd64-1.0", "petrel-amd64-1.1")
    assert order.inputs["from"] == {
        "name": "petrel-amd64-1.0", "version": "1.0", "product": "petrel", "channel": "main",
        "usb": sha256_of(b"usbpetrel-amd64-1.0"),
    }  # fmt: skip
    assert order.inputs["to"] == {"usb": Sha256(sha256_of(b"usbpetrel-amd64-1.1"))}
    assert plain.mapping(order.inputs, "order")["name"] == "petrel-amd64-1.1"
    assert order.inputs["url"] == ""


def test_where_there_is_no_way_it_is_said_why(context: WorldContext) -> None:
    built(context, "petrel-amd64-1.0", 200)
    built(context, "petrel-amd64-0.9", 100)
    built(context, "petrel-amd64-1.1", 300, usb=None)
    built(context, "other-amd64-1.1", 300, image="other")
    wrong = {
        "petrel-amd64-0.9": "petrel-amd64-0.9 is older than petrel-amd64-1.0",
        "petrel-amd64-1.1": "petrel-amd64-1.1 was not made for USB sticks",
        "other-amd64-1.1": "are not the same image",
        "petrel-amd64-1.0": "have the same bytes",
    }
    for target, why in wrong.items():
        with pytest.raises(Refused, match=why.replace(".", r"\.")):
            kit_order(context.database, context.objects, context.config, "petrel-amd64-1.0", target)
    built(context, "petrel-amd64-1.2", 400, branch="topic/x")
    with pytest.raises(Refused, match=r"1\.2 is of the topic 'topic/x', and petrel-amd64-1\.0 of 'main'"):
        kit_order(context.database, context.objects, context.config, "petrel-amd64-1.0", "petrel-amd64-1.2")
    built(context, "petrel-amd64-1.3", 200, branch="1.3", less="590")
    with pytest.raises(Refused, match=r"1\.3 has older packages than petrel-amd64-1\.0:\s+less 633 -> 590"):
        kit_order(context.database, context.objects, context.config, "petrel-amd64-1.0", "petrel-amd64-1.3")
    with pytest.raises(NotFound, match=r"no image 'petrel-amd64-2\.0' was built here"):
        kit_order(context.database, context.objects, context.config, "petrel-amd64-1.0", "petrel-amd64-2.0")
