"""kill -9 at every change while an object goes to the server, comes from it, or a machine joins: doing it again ends well."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.worlds.killing import killed_before_each_change
from tests.worlds.near_home import ListedHomeObjects

from distwright.model.digests import Sha256, sha256_of
from distwright.store.home_place import HomePlace, keep_home, read_home
from distwright.store.objects import FileObjects
from distwright.store.paths import StatePaths

CONTENT = b"petrel\n" * 500
DIGEST = sha256_of(CONTENT)
PLACE = HomePlace("https://build.example.org", "anvil", "secret")
URL = "postgresql://distwright@build.example.org/distwright"


@dataclass
class World:
    """A server and a host below a folder."""

    folder: Path

    def objects(self) -> ListedHomeObjects:
        return ListedHomeObjects(self.folder)

    def send(self) -> Sha256:
        return self.objects().put(CONTENT)

    def fetch(self) -> bytes:
        return self.objects().read(DIGEST)


def made(tmp_path: Path, name: str, act: Callable[[World], object] = lambda _world: None) -> World:
    world = World(tmp_path / name)
    world.folder.mkdir()
    act(world)
    return world


def test_killed_while_it_sends_the_server_has_all_or_nothing_and_gets_the_rest(tmp_path: Path) -> None:
    for number, world in killed_before_each_change(
        lambda name: made(tmp_path, name), lambda world: world.send, more_than=10
    ):
        server = FileObjects(world.folder / "server")
        assert not server.has(DIGEST) or server.is_intact(DIGEST), number
        assert world.send() == DIGEST
        assert server.is_intact(DIGEST), number
        assert list((world.folder / "server").glob("arriving/*/*")) == [], number


def test_killed_while_it_fetches_nothing_half_is_ever_read(tmp_path: Path) -> None:
    def on_server(world: World) -> None:
        FileObjects(world.folder / "server").put(CONTENT)

    for number, world in killed_before_each_change(
        lambda name: made(tmp_path, name, on_server), lambda world: world.fetch, more_than=5
    ):
        cache = FileObjects(world.folder / "cache")
        assert not cache.has(DIGEST) or cache.is_intact(DIGEST), number
        assert world.fetch() == CONTENT, number
        left = [place.name for place in (world.folder / "cache" / "fetching").iterdir()]
        assert set(left) <= {f"{DIGEST}.lock"}, number


def test_a_fetch_that_was_cut_off_goes_on_where_it_ended_and_bytes_of_somebody_else_do_not_stay(tmp_path: Path) -> None:
    world = made(tmp_path, "one", lambda world: FileObjects(world.folder / "server").put(CONTENT))
    objects = world.objects()
    partial = world.folder / "cache" / "fetching" / DIGEST
    partial.parent.mkdir(parents=True)
    partial.write_bytes(CONTENT[:1234])
    assert objects.read(DIGEST) == CONTENT
    assert objects.near.asked == [(DIGEST, 1234)]


def test_killed_while_it_joins_a_state_is_never_taken_for_the_server(tmp_path: Path) -> None:
    """With the address of the database alone, its worker would act as the server does."""

    def join(world: World) -> None:
        keep_home(StatePaths(world.folder), PLACE, URL)

    for number, world in killed_before_each_change(
        lambda name: made(tmp_path, name), lambda world: lambda: join(world), more_than=3
    ):
        paths = StatePaths(world.folder)
        assert not paths.has_database or read_home(paths) == PLACE, number
        join(world)
        assert (read_home(paths), paths.database_url) == (PLACE, URL), number
