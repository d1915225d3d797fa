"""Many pool files from several mirrors: one that is dead costs one try, and its silence is told only if no other one helps."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.worlds.archive import MIRROR, MadeDeb, Upstream, UpstreamFetcher, make_deb
from tests.worlds.installation import WorldContext, make_context

from distwright.archive import gathering
from distwright.archive.gathering import gather
from distwright.archive.poolindex import PoolFile
from distwright.errors import NotFound, Unreachable

DEAD = "http://dead.example/debian"
DEBS = [make_deb(f"lib{number}") for number in range(2 * gathering.PARALLEL)]


@dataclass
class World:
    """One mirror that answers, and one that does not."""

    context: WorldContext
    fetcher: UpstreamFetcher

    def gather(self, *debs: MadeDeb) -> int:
        files = [PoolFile(deb.pool_path(), deb.sha256, len(deb.content)) for deb in debs]
        return gather(files, [DEAD, MIRROR], self.context, "test")

    def asked(self, base: str) -> int:
        return sum(url.startswith(base) for url in self.fetcher.asked)


@pytest.fixture
def world(tmp_path: Path) -> World:
    upstream = Upstream()
    upstream.add(*DEBS)
    upstream.publish()
    context = make_context(tmp_path, upstream)
    assert isinstance(context.fetcher, UpstreamFetcher)

    def silence(url: str) -> None:
        if url.startswith(DEAD):
            raise Unreachable(f"{url} cannot be fetched: connection refused", hint="check the network")

    context.fetcher.before = silence
    return World(context, context.fetcher)


def test_a_dead_mirror_is_passed_over_and_asked_no_more_than_once_by_each_thread(world: World) -> None:
    assert world.gather(*DEBS) == len(DEBS)
    assert all(world.context.objects.has(deb.sha256) for deb in DEBS)
    assert 1 <= world.asked(DEAD) <= gathering.PARALLEL
    assert world.asked(MIRROR) == len(DEBS)


def test_a_file_that_the_living_mirror_lacks_may_be_at_the_silent_one(world: World) -> None:
    with pytest.raises(Unreachable, match="connection refused"):
        world.gather(make_deb("other"))


def test_a_file_that_no_mirror_has_is_not_found(world: World) -> None:
    world.fetcher.before = None
    with pytest.raises(NotFound, match="404"):
        world.gather(make_deb("other"))
