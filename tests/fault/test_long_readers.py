"""A client that takes an hour for a file, one that looks into the database as long: both get what they began with, nobody waits."""

import hashlib
import http.client
import random
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from tests.system.line import Line
from tests.worlds.archive import make_deb, signer
from tests.worlds.client import see_suite
from tests.worlds.trials import Trial, age, make_ground, write_packages

from distwright.archive.garbage import collect
from distwright.formats.clearsign import strip_clearsign

pytestmark = pytest.mark.system

LARGE_BYTES = 24 << 20  # more than the kernel keeps for a client that does not read
PATIENCE_S = 20
MANY = 80  # packages of 60 kB of text each, which no compression makes much smaller


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(make_ground(tmp_path / "ground").folder)


def make_large(trial: Trial) -> None:
    """Give devel a large package and a large index."""
    noise = ("data.tar", random.Random(1).randbytes(LARGE_BYTES))  # noqa: S311  # it need not be secret
    words = "\n".join(f" {random.Random(number).randbytes(30).hex()}" for number in range(2000))  # noqa: S311
    many = [make_deb(f"many-{number:03d}", fields={"X-Noise": f"\n{words}"}) for number in range(MANY)]
    write_packages(trial.folder / "large", make_deb("large", data=noise), *many)
    trial.done("suite", "add", "devel", "large", "--publish")


@contextmanager
def held_download(path: str, port: int) -> Iterator[http.client.HTTPResponse]:
    """Ask for a file and read only its head: the kernel keeps little for us, so the server is in the middle of it."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port))
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert response.status == 200, path
        yield response


def get(path: str, port: int) -> bytes:
    with held_download(path, port) as response:
        return response.read()


def publish_others(trial: Trial, *gone: str) -> None:
    """Take packages away, bring new ones, collect: each as a command, none of which may wait."""
    began = time.monotonic()
    trial.done("suite", "remove", "devel", *gone, "--publish")
    trial.done("suite", "add", "devel", "new", "--publish")
    trial.done("archive", "collect", "--apply")
    trial.done("suite", "merge", "devel", "topic", "--publish")
    trial.done("archive", "collect", "--apply")
    assert time.monotonic() - began < PATIENCE_S


def test_a_client_that_takes_an_hour_gets_what_it_began_with(trial: Trial) -> None:
    """What its InRelease names is there by hash and in the pool, within the grace time and, once begun, after it."""
    make_large(trial)
    [package] = (trial.archive / "pool").rglob("large_1.0_amd64.deb")
    deb, index = str(package.relative_to(trial.archive)), "dists/devel/main/binary-amd64/Packages.zst"
    contents = {name: (trial.archive / name).read_bytes() for name in (deb, index)}
    assert len(contents[index]) > 4 << 20
    with Line(trial.root).serving() as url:
        port = int(url.rpartition(":")[2])
        release = strip_clearsign(get("/petrel/dists/devel/InRelease", port)).decode()
        with held_download(f"/petrel/{deb}", port) as slow_deb, held_download(f"/petrel/{index}", port) as slow_index:
            heads = slow_deb.read(1000), slow_index.read(1000)
            publish_others(trial, "large", *(f"many-{number:03d}" for number in range(MANY)))
            assert trial.packages()["dists/devel"] == ["gull 1.0", "hello 2.0", "skua 1.0", "tern 1.0"]
            assert hashlib.sha256(get(f"/petrel/{deb}", port)).digest() == hashlib.sha256(contents[deb]).digest()
            assert_all_by_hash(release, port)
            forget_what_was_retired(trial)
            assert not package.exists()
            assert heads[0] + slow_deb.read() == contents[deb]
            assert heads[1] + slow_index.read() == contents[index]
    assert see_suite(trial.archive, "devel", signer("petrel").certificate()).packages[0] == "gull 1.0"
    assert trial.damages() == []


def assert_all_by_hash(release: str, port: int) -> None:
    rows = [line.split() for line in release.partition("SHA256:\n")[2].splitlines() if line.startswith(" ")]
    packed = [row for row in rows if row[2].endswith((".gz", ".xz", ".zst", ".diff/Index"))]
    assert len(packed) > 8
    for digest, size, name in packed:
        folder = name.rpartition("/")[0]
        found = get(f"/petrel/dists/devel/{folder}/by-hash/SHA256/{digest}", port)
        assert (len(found), hashlib.sha256(found).hexdigest()) == (int(size), digest), name


def forget_what_was_retired(trial: Trial) -> None:
    """Let the grace time pass, and collect."""
    age(trial)
    with trial.opened() as app:
        collect(app.command_context(), ["petrel"], grace=timedelta(days=7), really=True)


def test_who_looks_into_the_database_for_an_hour_sees_one_moment_and_nobody_waits(trial: Trial) -> None:
    with sqlite3.connect(trial.root / "db.sqlite", isolation_level=None) as reader:
        reader.execute("BEGIN")
        before = reader.execute("SELECT id, revision, state FROM publications ORDER BY id").fetchall()
        publish_others(trial, "hello")
        assert reader.execute("SELECT id, revision, state FROM publications ORDER BY id").fetchall() == before
        reader.execute("COMMIT")
        assert reader.execute("SELECT count(*) FROM publications").fetchone()[0] > len(before)
    reader.close()
    assert trial.damages() == []
