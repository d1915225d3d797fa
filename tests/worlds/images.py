"""Images that were built, booted and tested, as the rows, objects, holds and public folders that their jobs leave."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.worlds.times import NOW

from distwright.images.boot import KIND as BOOT
from distwright.images.build import KIND as BUILD
from distwright.images.forms import LAYER_KIND
from distwright.images.kit_descriptions import Description, Release, Upgrade
from distwright.images.kits import KIND as KIT
from distwright.images.public import show_image
from distwright.images.testing import KIND as TEST
from distwright.images.testing import report_folder
from distwright.images.upgrades import say_no_upgrade, say_upgrade
from distwright.jobs.lease import Ending, claim_next, end_attempt
from distwright.jobs.order import JobOrder, place_order
from distwright.jobs.step import Context, KindName
from distwright.model.digests import Json, Sha256, canonical_json
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import Outcome
from distwright.store.database import Database
from distwright.store.events import release_event
from distwright.store.holds import holds_on_all, replace_holds
from distwright.store.objects import ObjectStore
from distwright.store.paths import StatePaths

COMMIT = "c" * 40


@dataclass
class Images:
    """An installation in which jobs of images end as a test says, one after another; `clock` moves on with each."""

    database: Database
    objects: ObjectStore
    paths: StatePaths
    clock: datetime = NOW
    count: int = 0
    isos: dict[str, Sha256] = field(default_factory=dict)

    def build(
        self, image: str = "petrel", *, iso: bytes = b"", packages: Mapping[str, str] | None = None, branch: str = "main",
        commit: str = COMMIT, is_seen: bool = True, layer_on: str = "",
    ) -> str:  # fmt: skip
        """Build an image; give its full name. is_seen: the flow has dealt with the event. layer_on: as a layer on an image."""
        self.count += 1
        name = f"{image}-{self.count}"
        content = iso or f"iso of {name}".encode()
        manifest: dict[str, Json] = {"format": 1, "image": name, "packages": [
            {"name": package, "version": version, "architecture": "amd64", "installed": True}
            for package, version in (packages or {}).items()
        ]}  # fmt: skip
        files = {
            f"{name}.iso": self.objects.put(content),
            f"{name}.manifest.json": self.objects.put(canonical_json(manifest)),
            "SHA256SUMS": self.objects.put(f"sums of {name}\n".encode()),
        }
        self.isos[name] = files[f"{name}.iso"]
        inputs: dict[str, Json] = {
            "image": image,
            "name": name,
            "commit": commit,
            "branch": branch,
            "number": self.count,
        }
        if layer_on:
            inputs["base"] = {"name": layer_on}
        job = self._begin(LAYER_KIND if layer_on else BUILD, inputs)
        with self.database.write() as tx:
            replace_holds(tx, f"image {job}", holds_on_all(dict(files)), self.clock)
        show_image(self.paths.public / "images", name, files, self.objects)
        shown: dict[str, Json] = {file: str(digest) for file, digest in files.items()}
        body: dict[str, Json] = {
            "image": image, "name": name, "files": shown, "commit": commit, "states": {},
            "manifest": shown[f"{name}.manifest.json"],
        }  # fmt: skip
        event = Event(EventKind.IMAGE_BUILT, self.clock, name, body, job)
        outputs: dict[str, Json] = {"name": name, "iso": str(self.isos[name]), "files": shown}
        self._end(Ending(Outcome.OK, f"built {name}.iso", outputs, [event], heir=f"image {job}"), seconds=100)
        if is_seen:
            with self.database.write() as tx:
                for number in range(1, self.count * 10):
                    release_event(tx, number, self.clock)
        return name

    def fail(self, image: str = "petrel", *, branch: str = "main", left: bytes = b"what it said") -> int:
        """Let a build fail; give its job."""
        self.count += 1
        job = self._begin(
            BUILD,
            {"image": image, "name": f"{image}-{self.count}", "commit": COMMIT, "branch": branch, "number": self.count},
        )
        self._end(Ending(Outcome.FAILED, "root: no", evidence={"root/log": self.objects.put(left)}), seconds=10)
        return job

    def boot(self, name: str, *, seconds: int = 60, outcome: Outcome = Outcome.OK, firmware: str = "bios") -> int:
        """Boot an image."""
        job = self._begin(BOOT, {"image": "petrel", "name": name, "iso": str(self.isos[name]), "firmware": firmware})
        self._end(Ending(outcome, str(outcome)), seconds=seconds)
        return job

    def test(
        self, name: str, *, outcome: Outcome = Outcome.OK, firmware: str = "bios", evidence: bytes = b"pictures",
        chosen: Mapping[str, Json] | None = None,
    ) -> int:  # fmt: skip
        """Test an image by its features; it leaves a report and evidence. chosen: what a person asked for, in the inputs."""
        inputs: dict[str, Json] = {"image": "petrel", "name": name, "iso": str(self.isos[name]), "firmware": firmware}
        inputs |= chosen or {}
        job = self._begin(TEST, inputs)
        report = {"report.html": self.objects.put(f"report of {name} {firmware}".encode())}
        held = [*holds_on_all({**report, "evidence": self.objects.put(evidence)})]
        with self.database.write() as tx:
            replace_holds(tx, f"test {job}", held, self.clock)
        folder = report_folder(inputs, job)
        show_image(self.paths.public / "images", folder, report, self.objects)
        outputs: dict[str, Json] = {"folder": folder, "report": str(report["report.html"])}
        self._end(Ending(outcome, str(outcome), outputs if outcome is Outcome.OK else None), seconds=20)
        return job

    def rebuild(self, name: str) -> int:
        """Build an image once more, and find that it differs."""
        job = self._begin(
            KindName("image.rebuild", 1), {"image": "petrel", "name": name, "built": {"iso": str(self.isos[name])}}
        )
        with self.database.write() as tx:
            replace_holds(tx, f"comparison {job}", holds_on_all({"pairs": [str(self.isos[name])]}), self.clock)
        self._end(Ending(Outcome.OK, "it differs"), seconds=90)
        return job

    def kit(self, context: Context, source: str, target: str, *, branch: str = "main", url: str = "") -> int:
        """Make and publish the upgrade kit between two images; give its job."""
        initial, kit = self._description(source), self.objects.put(f"kit {source} {target} {url}".encode())
        order: dict[str, Json] = {"image": "petrel", "name": target, "branch": branch}
        job = self._begin(KIT, {"name": source, "from": {"name": source}, "order": order, "url": url})
        say_upgrade(context, initial, Upgrade(Release(target, "2"), f"{target}.kit.tar", kit, self.objects.size(kit)))
        self._end(Ending(Outcome.OK, "a kit", {"kit": str(kit), "from": source, "to": target}), seconds=30)
        return job

    def fail_kit(self, source: str, target: str) -> int:
        """Let a kit fail its trial; give its job."""
        order: dict[str, Json] = {"image": "petrel", "name": target, "branch": "main"}
        job = self._begin(KIT, {"name": source, "from": {"name": source}, "order": order, "url": "failed"})
        self._end(Ending(Outcome.FAILED, "prove: no", evidence={"prove/log": self.objects.put(b"differs")}), seconds=9)
        return job

    def describe(self, context: Context, name: str) -> None:
        """Say that there is no upgrade from an image, as its build does."""
        say_no_upgrade(context, {"image": "petrel", "branch": "main", "name": name, "version": "1"})

    def _description(self, name: str) -> Description:
        return Description("petrel", "main", Release(name, "1"))

    def order_boot(self, name: str) -> int:
        """Order a boot that nobody has taken yet."""
        inputs: dict[str, Json] = {"image": "petrel", "name": name, "iso": str(self.isos[name]), "firmware": "uefi"}
        with self.database.write() as tx:
            return place_order(tx, JobOrder(BOOT, inputs, "boot"), self.clock).id

    def _begin(self, kind: KindName, inputs: Mapping[str, Json]) -> int:
        with self.database.write() as tx:
            place_order(tx, JobOrder(kind, inputs, f"{kind.name} {inputs['name']}", priority=99), self.clock)
        job = claim_next(self.database, ["local"], "worker", self.clock)
        assert job is not None
        self._job = job
        log = self.paths.job_log(job.id, job.fence)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("log\n")
        return job.id

    def _end(self, ending: Ending, *, seconds: int) -> None:
        self.clock += timedelta(seconds=seconds)
        assert end_attempt(self.database, self._job, ending, self.clock)
