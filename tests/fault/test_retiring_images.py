"""Killed anywhere, dropping images leaves each whole, or goes on when it is asked again; nobody ever sees half of one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.worlds.images import Images
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.killing import NEVER, run_killed_at

from distwright.images.public import COMPLETE
from distwright.images.retention import Budget
from distwright.images.retiring import retire_images
from distwright.model.events import EventKind
from distwright.model.outcomes import Outcome
from distwright.store.holds import all_holds

NOTHING = {"petrel": Budget(0, 0)}


def world(folder: Path) -> WorldContext:
    """Three images with a test each, of which the first one goes."""
    folder.mkdir()
    context = make_context(folder)
    images = Images(context.database, context.objects, context.paths)
    for outcome in (Outcome.OK, Outcome.OK, Outcome.FAILED):
        images.test(images.build(), outcome=outcome)
    return context


def in_a_child(context: WorldContext) -> Callable[[], object]:
    def run() -> object:
        return retire_images(replace(context, database=context.database.reopen()), (), NOTHING, really=True)

    return run


def files_of(context: WorldContext) -> dict[str, set[str]]:
    """Give what people see: the files of each public image."""
    folder = context.paths.public / "images"
    return {link.name: {file.name for file in link.iterdir()} for link in folder.iterdir() if link.is_symlink()}


def left(context: WorldContext) -> tuple[set[str], set[str], set[str], int]:
    """Give what there is of images: names, folders, who holds for them, logs."""
    complete = context.paths.public / "images" / COMPLETE
    with context.database.read() as tx:
        holders = {hold.holder for hold in all_holds(tx)}
    logs = list(context.paths.logs.rglob("*.log"))
    return set(files_of(context)), {path.name for path in complete.iterdir()}, holders, len(logs)


def test_killed_before_every_change_it_is_whole_or_ended_by_the_next(tmp_path: Path) -> None:
    undisturbed = world(tmp_path / "undisturbed")
    before = files_of(undisturbed)
    count = run_killed_at(NEVER, in_a_child(undisturbed))
    assert count is not None
    assert count > 8
    after = left(undisturbed)
    assert len(before) - len(after[0]) == 2, "an image and the report of its test"
    for number in range(1, count + 1):
        context = world(tmp_path / str(number))
        assert run_killed_at(number, in_a_child(context)) is None
        seen = files_of(context)
        assert seen == {name: before[name] for name in seen}, (
            f"killed before change {number}, something is seen in part"
        )
        retire_images(context, (), NOTHING, really=True)
        assert left(context) == after, f"killed before change {number}"
        dropped = [event.subject for event in context.events() if event.kind is EventKind.IMAGE_DROPPED]
        assert dropped == ["petrel-1"]
        context.database.close()
