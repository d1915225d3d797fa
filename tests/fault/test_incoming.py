"""kill -9 at every write while an upload is taken out of the drop folder: it is taken whole, and once."""

from pathlib import Path

from tests.worlds.killing import killed_before_each_change
from tests.worlds.queue import QueueWorld, queue_world, upload_of


def looked(world: QueueWorld) -> int:
    """Look once, with connections of its own, as another process does."""
    world.context.database.close()
    return world.queue.take_in()


def test_killed_at_any_write_an_upload_becomes_one_job_and_leaves_nothing(tmp_path: Path) -> None:
    def with_an_upload(name: str) -> QueueWorld:
        world = queue_world(tmp_path / name)
        world.put(world.drop, upload_of())
        return world

    for number, world in killed_before_each_change(with_an_upload, lambda world: lambda: looked(world), more_than=10):
        looked(world)
        assert world.results() == [("greeter_1.0_amd64.changes", "waiting")], number
        assert world.run() == ["ok"], number
        looked(world)
        left = [place.name for place in world.drop.rglob("*") if place.is_file()]
        assert left == ["greeter_1.0_amd64.changes.json"], number


def test_killed_while_the_verdict_is_told_it_is_told_once(tmp_path: Path) -> None:
    def refused(name: str) -> QueueWorld:
        world = queue_world(tmp_path / name)
        world.put(world.drop, upload_of().with_files({"greeter_1.0.tar.gz": b"x" * 10_000}))
        looked(world)
        assert world.run() == ["failed"]
        return world

    for number, world in killed_before_each_change(refused, lambda world: lambda: looked(world), more_than=10):
        looked(world)
        rejected = sorted(place.name for place in (world.drop / "rejected").iterdir())
        assert rejected == ["greeter_1.0_amd64-1"], number
        assert (world.drop / "rejected" / rejected[0] / "status.json").exists()
        assert [place.name for place in world.drop.iterdir() if place.is_file()] == []
