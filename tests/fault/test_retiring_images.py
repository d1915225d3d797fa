"""Killed anywhere, dropping images leaves each whole, or goes on when it is asked again; nobody ever sees half of one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.worlds.images import Images
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.keys import signer
from tests.worlds.killing import killed_before_each_change

from distwright.images.kit_descriptions import read_description
from distwright.images.public import COMPLETE
from distwright.images.retention import Budget
from distwright.images.retiring import retire_images
from distwright.model.digests import sha256_of
from distwright.model.events import EventKind
from distwright.model.outcomes import Outcome
from distwright.signing.verify import Keyring
from distwright.store.holds import all_holds

NOTHING = {"petrel": Budget(0, 0)}


def world(folder: Path) -> WorldContext:
    """Three images with a test each, of which the first one goes, with a kit from it, and one to it."""
    folder.mkdir()
    context = make_context(folder)
    images = Images(context.database, context.objects, context.paths)
    for outcome in (Outcome.OK, Outcome.OK, Outcome.FAILED):
        name = images.build()
        images.describe(context, name)
        images.test(name, outcome=outcome)
    for source, target in ((1, 3), (2, 1), (2, 3)):
        images.kit(context, f"petrel-{source}", f"petrel-{target}")
    return context


def in_a_child(context: WorldContext) -> Callable[[], object]:
    def run() -> object:
        return retire_images(replace(context, database=context.database.reopen()), (), NOTHING, really=True)

    return run


def files_of(context: WorldContext) -> dict[str, set[str]]:
    """Give what people see: the files of each public image."""
    folder = context.paths.public / "images"
    return {link.name: {file.name for file in link.iterdir()} for link in folder.iterdir() if link.is_symlink()}


def upgrades_of(context: WorldContext) -> dict[str, set[str]]:
    """Give what devices see: the kits that a description names; each is there, and no other."""
    folder = context.paths.public / "images" / "upgrades"
    found = {}
    for link in (path for path in folder.glob("[!.]*") if path.is_symlink()):
        files = {path.name: path.read_bytes() for path in link.iterdir()}
        content, signature = files.pop("upgrades.json"), files.pop("upgrades.json.asc")
        verified = Keyring(signer("image").certificate(), "the image key").verify_detached(
            content, signature, link.name
        )
        named = {one.url: one.sha256 for one in read_description(verified.content).upgrades}
        assert {name: sha256_of(kit) for name, kit in files.items()} == named
        found[link.name] = set(named)
    return found


def left(context: WorldContext) -> tuple[set[str], set[str], set[str], int, dict[str, set[str]]]:
    """Give what there is of images: names, folders, who holds for them, logs."""
    images = context.paths.public / "images"
    folders = {str(path.relative_to(images)) for path in images.glob(f"**/{COMPLETE}/*")}
    folders |= {path.name for path in (images / "upgrades").glob(".new-*")}
    with context.database.read() as tx:
        holders = {hold.holder for hold in all_holds(tx)}
    logs = list(context.paths.logs.rglob("*.log"))
    return set(files_of(context)), folders, holders, len(logs), upgrades_of(context)


def test_killed_before_every_change_it_is_whole_or_ended_by_the_next(tmp_path: Path) -> None:
    undisturbed = world(tmp_path / "undisturbed")
    before = files_of(undisturbed)
    assert retire_images(undisturbed, (), NOTHING, really=True)
    after = left(undisturbed)
    assert after[-1] == {"petrel-2": {"petrel-3.kit.tar"}, "petrel-3": set()}
    assert len(before) - len(after[0]) == 2, "an image and the report of its test"
    kills = killed_before_each_change(lambda name: world(tmp_path / name), in_a_child, more_than=8)
    for number, context in kills:
        seen = files_of(context)
        upgrades_of(context)
        assert seen == {name: before[name] for name in seen}, (
            f"killed before change {number}, something is seen in part"
        )
        retire_images(context, (), NOTHING, really=True)
        assert left(context) == after, f"killed before change {number}"
        dropped = [event.subject for event in context.events() if event.kind is EventKind.IMAGE_DROPPED]
        assert dropped == ["petrel-1"]
        context.database.close()
