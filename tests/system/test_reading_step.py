"""A step that reads the shelf: what goes wrong there is never the work's fault, and harmless if the program got over it."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.system.line import state_folder
from tests.unit.archive.requests import FIELDS, LISTS, record_request
from tests.worlds.archive import MIRROR, Upstream, UpstreamFetcher, make_deb
from tests.worlds.work import Workshop, kind_of, shell, step, workshop

from distwright.archive.record import record
from distwright.archive.tree import TreeEntry, build_tree
from distwright.errors import DistwrightError, Unreachable
from distwright.jobs.step import ShelfEntry, Step
from distwright.model.outcomes import Outcome
from distwright.model.versions import DebVersion
from distwright.tools.sandbox import sandbox_for
from distwright.worker.context import CommandContext, JobContext
from distwright.worker.execute import execute

pytestmark = pytest.mark.system
HELLO = make_deb("hello")


class Mirror(UpstreamFetcher):
    """An upstream with one package. answers: what it does with each request, one after another, then it serves."""

    def __init__(self, *answers: bytes | DistwrightError) -> None:
        """Serve HELLO."""
        self.upstream = Upstream()
        self.upstream.add(HELLO)
        self.upstream.publish()
        super().__init__({MIRROR: self.upstream})
        self.answers = list(answers)

    def fetch(self, url: str, *, limit_bytes: int) -> Iterator[bytes]:
        """Fetch, or fail as told."""
        if not url.endswith(".deb") or not self.answers:
            return super().fetch(url, limit_bytes=limit_bytes)
        answer = self.answers.pop(0)
        if isinstance(answer, DistwrightError):
            raise answer
        return iter([answer])


def reading_step(shop: Workshop, context: JobContext, script: str, mirror: Mirror) -> Step:
    """Record the mirror, and give a step whose script knows `$deb`, the address of its package on the shelf."""
    context.fetcher = mirror
    person = CommandContext(context.database, context.objects, mirror, context.config, context.paths)
    row = record(record_request(), person, shop.paths.cache / "pool").row
    command = shell(f"deb={{shelf:debian/stable}}/{HELLO.pool_path()}; {script}", reads_shelf=True)
    return step(command, shelf=(ShelfEntry("debian", "stable", row.digest),), collect={"out": "out"})


TRANSIENT = Unreachable("the mirror did not answer", hint="wait")
GIVES_UP, ASKS_AGAIN, GOES_ON = (
    "curl -sf $deb >out",
    "curl -sf $deb >out || curl -sf $deb >out",
    "curl -sf $deb >out || echo never mind >out",
)


@pytest.mark.parametrize(
    ("answers", "script", "outcome"),
    [
        ((), GIVES_UP, Outcome.OK),
        ((b"garbage",), GIVES_UP, Outcome.BROKEN),
        ((TRANSIENT,), GIVES_UP, Outcome.BROKEN),
        ((TRANSIENT,), ASKS_AGAIN, Outcome.OK),
        ((b"garbage",), ASKS_AGAIN, Outcome.OK),
        ((TRANSIENT,), GOES_ON, Outcome.BROKEN),
        ((TRANSIENT,), f"{ASKS_AGAIN}; exit 1", Outcome.BROKEN),
        ((), f"{GIVES_UP}; exit 1", Outcome.FAILED),
    ],
)
def test_trouble_of_a_mirror_is_of_the_world_and_none_if_the_program_got_it_in_the_end(
    answers: tuple[bytes | DistwrightError, ...], script: str, outcome: Outcome
) -> None:
    with state_folder() as folder:
        shop = workshop(folder / "state", sandbox_for(os.geteuid()))
        context = shop.context()
        ending = execute(kind_of(reading_step(shop, context, script, Mirror(*answers))), {}, context)
        assert ending.outcome is outcome, ending
        if ending.outcome is Outcome.OK:
            assert ending.outputs == {"count/out": HELLO.sha256}
        shop.database.close()


def test_object_of_an_own_suite_that_is_lost_is_our_fault() -> None:
    with state_folder() as folder:
        shop = workshop(folder / "state", sandbox_for(os.geteuid()))
        context = shop.context()
        entry = TreeEntry("main/binary-amd64", "hello", DebVersion("1.0"), HELLO.stanza().encode())
        document = shop.objects.put(build_tree([entry], shop.objects.put).to_bytes())
        own = ShelfEntry("petrel", "devel", document, is_own=True, fields=tuple(FIELDS.items()), lists=LISTS)
        ask = shell(f"curl -sf {{shelf:petrel/devel}}/{HELLO.pool_path()} >out", reads_shelf=True)
        ending = execute(kind_of(step(ask, shelf=(own,))), {}, context)
        assert (ending.outcome, "is lost" in ending.message) == (Outcome.BROKEN, True), ending
        shop.database.close()


def test_step_is_run_again_if_what_it_fetched_is_gone() -> None:
    """The manifest reads it."""
    with state_folder() as folder:
        shop = workshop(folder / "state", sandbox_for(os.geteuid()))
        context = shop.context()
        mirror = Mirror()
        reading = reading_step(shop, context, "curl -sf $deb | wc -c >out", mirror)
        for asked in (1, 1):
            assert execute(kind_of(reading), {}, context).outcome is Outcome.OK
            assert len([url for url in mirror.asked if url.endswith(".deb")]) == asked
        shop.objects.path(HELLO.sha256).unlink()
        assert execute(kind_of(reading), {}, context).outcome is Outcome.OK
        assert shop.objects.has(HELLO.sha256)
        shop.database.close()


def test_index_that_has_rotted_in_the_store_is_our_fault() -> None:
    with state_folder() as folder:
        shop = workshop(folder / "state", sandbox_for(os.geteuid()))
        context = shop.context()
        reading = reading_step(shop, context, GIVES_UP, Mirror())
        for derived in (shop.paths.cache / "pool").iterdir():
            derived.unlink()
        for digest in shop.objects.digests():
            if shop.objects.read(digest).startswith(b"\xfd7zXZ"):
                shop.objects.path(digest).chmod(0o644)
                shop.objects.path(digest).write_bytes(b"rotten")
        assert execute(kind_of(reading), {}, context).outcome is Outcome.BROKEN
        shop.database.close()


def test_program_that_asks_for_more_than_it_may_write_fails_and_no_more_is_fetched() -> None:
    large = [
        make_deb(name, content={f"usr/share/{name}": hashlib.shake_256(name.encode()).hexdigest(700_000)})
        for name in ("large", "larger")
    ]
    with state_folder() as folder:
        shop = workshop(folder / "state", sandbox_for(os.geteuid()))
        context = shop.context()
        context.limits = replace(context.limits, disk_mb=1)
        mirror = Mirror()
        mirror.upstream.add(*large)
        mirror.upstream.publish()
        one, other = (f"{{shelf:debian/stable}}/{deb.pool_path()}" for deb in large)
        script = f"curl -sf {one} {one} {other} >/dev/null || curl -sf $deb >out"
        ending = execute(kind_of(reading_step(shop, context, script, mirror)), {}, context)
        assert (ending.outcome, "fetch limit of 1 MB" in ending.message) == (Outcome.FAILED, True), ending
        assert [shop.objects.has(deb.sha256) for deb in (*large, HELLO)] == [True, False, True]
        shop.database.close()
