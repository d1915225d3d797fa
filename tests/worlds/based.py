"""An image that was built in full, and what is ordered over it: an installation with recorded archives and a suite of ours."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from tests.unit.archive.requests import record_request
from tests.worlds.archive import DATE, MIRROR, MadeDeb, MadeSource, Upstream, UpstreamFetcher, make_deb
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.repos import Files, changelog, commit
from tests.worlds.suite import OwnSuite, own_suite

from distwright.archive.record import record
from distwright.images.layer_orders import layer_order
from distwright.images.manifest import InstalledPackage, manifest_of
from distwright.images.resolve import image_order
from distwright.jobs.lease import Ending, claim_next, end_attempt
from distwright.jobs.order import JobOrder, place_order
from distwright.jobs.step import Fetched
from distwright.model.digests import Json, sha256_of
from distwright.model.outcomes import Outcome

KEY = "-----BEGIN PGP PUBLIC KEY BLOCK-----\nkey\n"
FILES: Files = {
    "debian/changelog": changelog("live", "2.0"), "debian/petrel.asc": KEY,
    "images/petrel/package-lists/base.list.chroot": "tern live-boot\n",
    "images/petrel/hooks/0100-a.hook.chroot*": "#!/bin/sh\ntrue\n",
}  # fmt: skip
LIVE_BOOT = make_deb("live-boot")
TERN = make_deb("tern", "1.0", scripts={"postinst": "#!/bin/sh\ntrue\n"})
LATER = make_deb("tern", "1.1", scripts={"postinst": "#!/bin/sh\ntrue\n"})


@cache
def upstreams() -> Mapping[str, Upstream]:
    """Two archives; made once, for a second signature of the same text has other bytes."""
    made = {
        "debian": Upstream(suites=("stable",), label="Debian"),
        "security": Upstream(suites=("stable-security",), label="Debian-Security"),
    }
    for upstream in made.values():
        upstream.add(LIVE_BOOT)
        upstream.publish(DATE)
    return made


@dataclass
class Based:
    """Builds images of the table `petrel`, without making any: what a job of it says is there. installed: packages of an image."""

    context: WorldContext
    suite: OwnSuite
    installed: tuple[MadeDeb, ...] = (TERN, LIVE_BOOT)
    orders: list[JobOrder] = field(default_factory=list)

    def hold(self, *packages: MadeDeb | MadeSource) -> None:
        """Publish a state of our suite."""
        self.suite.publish(self.suite.hold(*packages))

    def push(self, more: Files | None = None) -> None:
        """Push the recipe."""
        commit(self.context.paths, "live", {**FILES, **(more or {})})

    def build(self) -> str:
        """Build the image in full as all is now; give its name."""
        order = image_order(self.context.database, self.context.ground(), "petrel")
        self.orders.append(order)
        name, put = str(order.inputs["name"]), self.context.objects.put
        fetched = [self.fetched(deb) for deb in self.installed]
        there = frozenset(InstalledPackage(deb.name, deb.version, deb.architecture) for deb in self.installed)
        states = {"states": {"petrel/devel": "0" * 64}, "tools": {}}
        manifest = manifest_of(name, fetched, there, states, self.context.objects, with_built_using=True)
        files: dict[str, Json] = {
            f"{name}.iso": put(name.encode()), f"{name}.manifest.json": put(manifest),
            f"{name}.source-packages": put(b"live-boot\t1.0\tdebian/stable/x.dsc\t0\ntern\t1.0\t-\tno source is recorded\n"),
        }  # fmt: skip
        with self.context.database.write() as tx:
            place_order(tx, replace(order, priority=99), self.context.clock)
        job = claim_next(self.context.database, ["local"], "worker", self.context.clock)
        assert job is not None
        outputs: dict[str, Json] = {"name": name, "iso": files[f"{name}.iso"], "files": files}
        assert end_attempt(self.context.database, job, Ending(Outcome.OK, "built", outputs), self.context.clock)
        return name

    def fetched(self, deb: MadeDeb) -> Fetched:
        """Keep a package, and say where it came from."""
        self.context.objects.put(deb.content)
        archive, suite = ("debian", "stable") if deb is LIVE_BOOT else ("petrel", "devel")
        return Fetched(archive, suite, deb.pool_path(), sha256_of(deb.content), len(deb.content))

    def layer(self) -> JobOrder:
        """Order a layer."""
        return layer_order(self.context.database, self.context.ground(), "petrel")


def record_all(context: WorldContext) -> None:
    """Record both archives as they are."""
    for archive, upstream in upstreams().items():
        url = f"{MIRROR}/{archive}"
        context.fetcher = UpstreamFetcher({url: upstream})
        request = replace(record_request(url, suites=upstream.suites), archive=archive, label=upstream.label)
        record(request, context, context.paths.cache / "pool")


def based(folder: Path) -> Based:
    """Give an installation in which all is ready for an image, with tern 1.0 in our suite."""
    context = make_context(folder)
    record_all(context)
    world = Based(context, own_suite(folder, context=context))
    world.hold(TERN)
    world.push()
    return world
