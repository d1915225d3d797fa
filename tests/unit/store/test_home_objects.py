"""The cache of a machine that works for another: what it fetches, what it sends, what it lets go."""

import os
import time
from pathlib import Path

import pytest
from tests.worlds.near_home import ListedHomeObjects

from distwright.errors import Lost, Refused, Rotten
from distwright.model.digests import sha256_of

HOURS = 3600


def old(path: Path, hours: int) -> None:
    moment = time.time() - hours * HOURS
    os.utime(path, (moment, moment))


def test_what_was_fetched_once_is_not_fetched_again(tmp_path: Path) -> None:
    store = ListedHomeObjects(tmp_path)
    digest = store.server.put(b"petrel")
    assert [store.read(digest) for _ in range(3)] == [b"petrel"] * 3
    assert store.near.asked == [(digest, 0)]


def test_what_only_the_cache_has_is_sent_before_it_is_named(tmp_path: Path) -> None:
    store = ListedHomeObjects(tmp_path)
    digest = store.put(b"petrel")
    store.server.path(digest).unlink()
    assert store.touch(digest)
    assert store.server.is_intact(digest)
    assert not store.touch(sha256_of(b"nobody has it"))


def test_what_rotted_in_the_cache_comes_again_and_what_rotted_on_the_server_is_named(tmp_path: Path) -> None:
    store = ListedHomeObjects(tmp_path)
    digest = store.put(b"petrel")
    for path in (store.path(digest), store.server.path(digest)):
        path.chmod(0o644)
    store.path(digest).write_bytes(b"barrel")
    assert store.read(digest) == b"petrel"
    store.path(digest).unlink()
    store.server.path(digest).write_bytes(b"barrel")
    with pytest.raises(Rotten, match=f"object {digest} has rotted"):
        store.read(digest)
    assert not store.path(digest).exists()


def test_trimming_drops_what_was_not_used_for_longest_and_nothing_young(tmp_path: Path) -> None:
    store = ListedHomeObjects(tmp_path)
    digests = [store.put(bytes([number]) * 1000) for number in range(5)]
    for number, digest in enumerate(digests[:4]):
        old(store.path(digest), 10 - number)
    partial = tmp_path / "cache" / "fetching" / digests[0]
    partial.parent.mkdir()
    partial.write_bytes(b"half")
    old(partial, 2)
    assert store.trim(5000) == 0
    assert store.trim(3500) == 2000
    assert [store.path(digest).exists() for digest in digests] == [False, False, True, True, True]
    assert store.trim(0) == 2000, "what was used within the hour stays"
    assert not partial.exists()
    assert store.read(digests[0]) == bytes(1000), "nothing is lost: the server has it"


@pytest.mark.parametrize("name", ["discarded", "empty_trash", "discard"])
def test_who_collects_does_it_on_the_server(tmp_path: Path, name: str) -> None:
    store = ListedHomeObjects(tmp_path)
    arguments = {"discarded": (), "empty_trash": (None,), "discard": (sha256_of(b"x"), None)}[name]
    with pytest.raises(Refused, match="are a cache of another's"):
        getattr(store, name)(*arguments)


def test_what_nobody_has_is_lost(tmp_path: Path) -> None:
    with pytest.raises(Lost):
        ListedHomeObjects(tmp_path).read(sha256_of(b"nobody has it"))
