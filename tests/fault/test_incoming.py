"""kill -9 at every write while an upload is taken out of the drop folder: it is taken whole, and once."""

from pathlib import Path

from tests.worlds.killing import NEVER, run_killed_at
from tests.worlds.queue import QueueWorld, queue_world, upload_of


def looked(world: QueueWorld) -> int:
    """Look once, with connections of its own, as another process does."""
    world.context.database.close()
    return world.queue.take_in()


def test_killed_at_any_write_an_upload_becomes_one_job_and_leaves_nothing(tmp_path: Path) -> None:
    first = queue_world(tmp_path / "count")
    first.put(first.drop, upload_of())
    changes = run_killed_at(NEVER, lambda: looked(first))
    assert changes is not None
    assert changes > 10
    for number in range(1, changes + 1):
        world = queue_world(tmp_path / str(number))
        world.put(world.drop, upload_of())
        assert run_killed_at(number, lambda world=world: looked(world)) is None  # type: ignore[misc]
        looked(world)
        assert world.results() == [("greeter_1.0_amd64.changes", "waiting")], number
        assert world.run() == ["ok"], number
        looked(world)
        left = [place.name for place in world.drop.rglob("*") if place.is_file()]
        assert left == ["greeter_1.0_amd64.changes.json"], number


def test_killed_while_the_verdict_is_told_it_is_told_once(tmp_path: Path) -> None:
    for number in range(1, 60):
        world = queue_world(tmp_path / str(number))
        upload = upload_of().with_files({"greeter_1.0.tar.gz": b"x" * 10_000})
        world.put(world.drop, upload)
        looked(world)
        assert world.run() == ["failed"]
        is_done = run_killed_at(number, lambda world=world: looked(world)) is not None  # type: ignore[misc]
        looked(world)
        rejected = sorted(place.name for place in (world.drop / "rejected").iterdir())
        assert rejected == ["greeter_1.0_amd64-1"], number
        assert (world.drop / "rejected" / rejected[0] / "status.json").exists()
        assert [place.name for place in world.drop.iterdir() if place.is_file()] == []
        if is_done:
            break
    else:
        raise AssertionError("never ran to its end")
