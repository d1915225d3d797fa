"""A world in which our package stops building: serials of a small upstream, commits of a repo, and a runner that only pretends.

world = breaking_world(folder, serials=8)
world.breaks = lambda tried: tried.versions["libfoo"] >= "5.0"
world.sweep()
world.run()
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from tests.unit.archive.requests import record_request
from tests.worlds.archive import DATE, DAY, MadeDeb, Upstream, UpstreamFetcher, make_deb, make_source, make_upload
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.repos import changelog, commit
from tests.worlds.uploads import Suite, add_suite

from distwright.archive.record import record
from distwright.builds.environment import NEVER, EnvironmentRecipe
from distwright.builds.package import KIND as BUILD
from distwright.builds.trying import KIND as TRY
from distwright.builds.trying import conclude, conclude_failed
from distwright.checks.filing import file_results
from distwright.checks.findings import FAILS
from distwright.checks.inquiries import advance_inquiries, get_inquiry
from distwright.checks.looks import LOOKS
from distwright.checks.moved import packages_at
from distwright.checks.sweep import ask_sweep
from distwright.errors import OutOfSpace
from distwright.jobs.lease import Ending, claim_next, end_attempt
from distwright.jobs.order import JobOrder, place_order
from distwright.jobs.step import Failure, StepResult
from distwright.model import plain
from distwright.model.digests import Sha256
from distwright.model.outcomes import Outcome
from distwright.model.records import Inquiry, Job, KnownFinding
from distwright.store.findings import find_finding
from distwright.store.objects import FileObjects, ObjectWriter

CONTROL = "Source: greeter\nBuild-Depends: libfoo-dev\n"


@dataclass(frozen=True)
class Trying:
    """What the pretended runner is asked. versions: of the packages that apt would take there."""

    commit: str
    versions: Mapping[str, str]
    job: Job


@dataclass
class BreakingWorld:
    """breaks: gives the stage where a build fails, "broken" or "cancelled" for trouble of ours, "" if all is well."""

    context: WorldContext
    upstream: Upstream
    serials: list[str] = field(default_factory=list)
    commits: list[str] = field(default_factory=list)
    built: list[Trying] = field(default_factory=list)
    breaks: Callable[[Trying], str] = lambda _tried: ""
    hinted: list[str] = field(default_factory=list)

    def record(self, *packages: MadeDeb) -> str:
        """Let upstream change, and record it a day later; give the serial."""
        self.upstream.add(*packages)
        self.context.clock += DAY
        self.upstream.publish(DATE + len(self.serials) * timedelta(hours=1))
        row = record(record_request(), self.context, self.context.paths.cache / "pool").row
        self.serials.append(str(row.serial))
        return str(row.serial)

    def commit(self, text: str, tag: str | None = None, version: str = "1.0", branch: str = "main") -> str:
        """Commit a change of the package to its repo."""
        files = {"debian/changelog": changelog("greeter", version), "debian/control": CONTROL, "text": text}
        self.commits.append(commit(self.context.paths, "greeter", files, tag=tag, branch=branch))
        return self.commits[-1]

    def upload(self, version: str) -> None:
        """Let our suite have a version of it."""
        Suite(self.context).accept(make_upload(make_source("greeter", version), make_deb("greeter", version)))

    def sweep(self, **serials: str) -> int:
        """Ask for a sweep."""
        return ask_sweep(self.context.database, self.context.ground(), serials, "user ada")

    def take_in(self) -> None:
        """Let follow what follows."""
        context = self.context
        file_results(context.database, context.config, context.clock)
        self.look()

    def look(self) -> None:
        """Look at what is asked, be the newest events filed or not: another worker may have ended a job a moment ago."""
        context = self.context
        while advance_inquiries(context.database, context.ground(), LOOKS, self.hinted.append, "c" * 40):
            pass

    def run(self, limit: int = 1000) -> int:
        """Run what is ordered until nothing is left, or so many jobs; give their number."""
        for count in range(limit):
            self.take_in()
            if not self.run_next():
                return count
            self.look()  # before it is filed, as another worker might
        self.take_in()
        return limit

    def run_next(self) -> bool:
        """Run the next job, and nothing that follows from it; say whether there was one."""
        job = claim_next(self.context.database, ["local"], "test", self.context.clock, [TRY, BUILD])
        if job is not None:
            self.context.clock += timedelta(seconds=40)
            self._end(job)
        return job is not None

    def build(self, order: JobOrder) -> Job:
        """Run an order that somebody else has placed."""
        with self.context.database.write() as tx:
            job = place_order(tx, order, self.context.clock)
        self.run()
        return job

    def inquiry(self, number: int) -> Inquiry:
        """Read an inquiry."""
        with self.context.database.read() as tx:
            return get_inquiry(tx, number)

    def finding(self) -> KnownFinding | None:
        """Read what is known of the package."""
        with self.context.database.read() as tx:
            return find_finding(tx, FAILS, "greeter", "build/devel")

    def _end(self, job: Job) -> None:
        tried = Trying(str(job.inputs.get("commit", "")), self._versions(job), job)
        self.built.append(tried)
        why = self.breaks(tried)
        now = self.context.clock
        if why in ("broken", "cancelled"):
            ending = Ending(Outcome(why), f"no luck with job {job.id}")
            for _ in range(4):  # it is given up after the third time
                end_attempt(self.context.database, job, ending, now)
                if why == "cancelled":
                    return
                now += timedelta(hours=1)
                self.context.clock = now
                again = claim_next(self.context.database, ["local"], "test", now, [TRY, BUILD])
                if again is None:
                    return
                job = again
            return
        if why:
            stage = "dependencies" if why == "install-deps" else why
            failure = Failure("build", Outcome.FAILED, f"build: {why} failed", {}, (), stage)
            concluded = conclude_failed(job.inputs, {}, failure, now, job.id)
        else:
            record_of = self.context.objects.put(self._buildinfo(tried))
            step = StepResult({"buildinfo/greeter_1.0_amd64.buildinfo": record_of})
            concluded = conclude(job.inputs, {"build": step}, now, job.id)
        outcome = Outcome.FAILED if why else Outcome.OK
        end_attempt(
            self.context.database, job, Ending(outcome, concluded.message, concluded.outputs, concluded.events), now
        )

    def _versions(self, job: Job) -> dict[str, str]:
        recipe = EnvironmentRecipe.from_json(plain.mapping(job.inputs, "environment"))
        versions = {
            name: str(entry.version) for name, entry in packages_at(self.context.objects, recipe, "debian").items()
        }
        for name, version in recipe.pins:
            if not version.startswith(NEVER):
                versions[name] = version
            elif versions.get(name) == version.removeprefix(NEVER):
                del versions[name]
        return versions

    def _buildinfo(self, tried: Trying) -> bytes:
        installed = ",\n ".join(
            f"{name} (= {version})" for name, version in sorted(tried.versions.items()) if name != "aside"
        )
        return (
            "Format: 1.0\nSource: greeter\nArchitecture: amd64\nVersion: 1.0\n"
            f"Checksums-Sha256:\n {'0' * 64} 1 greeter_1.0_amd64.deb\nBuild-Architecture: amd64\n"
            f"Installed-Build-Depends:\n {installed}\n"
        ).encode()


class FullDisk(FileObjects):
    """Objects on a disk whose last byte is taken before a new one is whole."""

    @contextmanager
    def writing(self, expect: Sha256 | None = None) -> Iterator[ObjectWriter]:
        """Raise OutOfSpace in the end."""
        with super().writing(expect) as writer:
            yield writer
            raise OutOfSpace("no space left", hint="df")


def breaking_world(folder: Path, *, serials: int = 1) -> BreakingWorld:
    """Make an installation that builds greeter 1.0 with some serials, by each of which libfoo and others move."""
    upstream = Upstream()
    context = make_context(folder, upstream)
    assert isinstance(context.fetcher, UpstreamFetcher)
    context.fetcher.piece_bytes = 1 << 20
    world = BreakingWorld(context, upstream)
    for number in range(1, serials + 1):
        world.record(*moved(number))
    world.commit("first", tag="1.0")
    add_suite(context, "devel")
    world.upload("1.0")
    return world


def moved(number: int) -> list[MadeDeb]:
    """Give what upstream has by its n-th serial: two sources that move, one that never does, and one that no build installs."""
    version = f"{number}.0"
    return [
        make_deb("libfoo1", version, source="libfoo"),
        make_deb("libfoo-dev", version, source="libfoo", depends=f"libfoo1 (= {version})"),
        make_deb("bar", version),
        make_deb("steady", "1.0"),
        make_deb("aside", version),
    ]
