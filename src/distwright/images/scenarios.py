"""From a built image to the orders of its tests: its features from git, our driver, both as objects, for each firmware."""

import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from distwright.archive.resolve import Ground, resolve_suites
from distwright.builds.resolve import environment_recipe, table_from
from distwright.config.tables import Image
from distwright.errors import BadInput, NotFound
from distwright.images import driving
from distwright.images.driving.session import BASE_FEATURES
from distwright.images.merged_branch import place_of_build
from distwright.images.testing import KIND, QUESTION, subjects_of
from distwright.images.upgrades import kit_between
from distwright.jobs.order import JobOrder
from distwright.model import plain
from distwright.model.digests import Json
from distwright.model.events import EventKind
from distwright.model.outcomes import Outcome
from distwright.model.records import Trial
from distwright.store.database import Database, Transaction
from distwright.store.events import newest_event, newest_of_kind
from distwright.store.jobs import find_job
from distwright.store.trials import list_trials
from distwright.tools.git import files_at

SCENARIO_LIMIT_S = 120
TIMEOUT_S = 4 * 3600
MEMORY_MB = 2048
WORKERS_LIMIT = 64
_OURS = ("environment.py", "steps/distwright.py")  # as driving/__main__.py writes them


@dataclass(frozen=True, slots=True)
class Chosen:
    """What of the tests shall run. features, scenarios: by name; empty: all. asked: when a person did, "" if the flow does.

    upgrade_from: the full name of an image from which there is a kit, "" to try no upgrade.
    """

    firmwares: Sequence[str] = ()
    features: Sequence[str] = ()
    scenarios: Sequence[str] = ()
    workers: int = 1
    asked: str = ""
    upgrade_from: str = ""


ALL = Chosen()


def orders_of_tests(
    database: Database, ground: Ground, built: Mapping[str, Json], chosen: Chosen = ALL
) -> list[JobOrder]:
    """Order the tests of an image that was built, one job for each firmware; none if it has no features.

    built: the event. Raises NotReadyError while the testers have no snapshot; NotFound, BadInput for features that are not right.
    """
    image = plain.text(built, "image")
    table = ground.config.images.get(image)
    if table is None or not table.features or table.testers is None or not {"vmlinuz", "tools"} <= built.keys():
        return []
    where, commit = place_of_build(ground, table.repo, built)
    features = features_tar({folder: _files(where, commit, folder) for folder in table.features})
    inputs: dict[str, Json] = {
        **{key: built[key] for key in ("image", "name", "commit", "vmlinuz")},
        "iso": str(plain.digest(plain.mapping(built, "files"), f"{built['name']}.iso")),
        "medium": "cd",
        "driver": str(ground.objects.put(driver_tar())),
        "features": str(ground.objects.put(features)),
        **_settings(table, chosen),
    }
    if base_commit := built.get("base_commit"):
        before = features_before(ground.paths.repo(table.repo), str(base_commit), table.features)
        inputs["base_features"] = str(ground.objects.put(before))
    with database.read() as tx:
        resolved = resolve_suites(tx, ground, table_from(ground.config, table.testers))
        trials = list_trials(tx, QUESTION)
        if chosen.upgrade_from:
            inputs["upgrade"] = _upgrade(tx, chosen.upgrade_from, plain.text(built, "name"))
    inputs["testers"] = environment_recipe(ground.config, table.testers, resolved).to_json()
    orders = []
    for firmware in chosen.firmwares or table.firmwares:
        own: dict[str, Json] = {"firmware": firmware, "seconds": dict(seconds_of(trials, image, firmware))}
        title = f"test {built['name']} ({firmware})"
        orders.append(JobOrder(KIND, {**inputs, **own}, title, holds=resolved.holds))
    return orders


def tests_of_last(database: Database, ground: Ground, name: str, chosen: Chosen) -> list[JobOrder]:
    """Order the tests of the default branch's image that was built last. Raises NotFound if there is none, or no features."""
    table = ground.config.images.get(name)
    if table is None or not table.features:
        raise NotFound(f"image {name} has no features", hint=f"set features and testers in [image.{name}]")
    with database.read() as tx:
        built = last_built(tx, name, ground.config.repos[table.repo].default_branch)
    if built is None:
        raise NotFound(f"image {name} was not built yet", hint=f"distwright image build {name}")
    return orders_of_tests(database, ground, built, chosen)


def last_built(tx: Transaction, image: str, branch: str | None = None) -> Mapping[str, Json] | None:
    """Give the event of the image that was built last, of this branch if one is named; None if there is none."""
    for stored in newest_of_kind(tx, EventKind.IMAGE_BUILT):
        if stored.event.body["image"] == image and branch in (None, _branch_of(tx, stored.event.job, branch)):
            return stored.event.body
    return None


def _branch_of(tx: Transaction, number: int | None, usual: str | None) -> str | None:
    """Say of which branch a job made an image; those that do not say are of the usual one."""
    job = None if number is None else find_job(tx, number)
    return usual if job is None else str(job.inputs.get("branch", usual))


def _settings(table: Image, chosen: Chosen) -> dict[str, Json]:
    settings: dict[str, Json] = {
        "expect": table.boot_expect, "boot_limit_s": table.boot_timeout_s, "limit_s": SCENARIO_LIMIT_S,
        "timeout_s": TIMEOUT_S, "memory_mb": MEMORY_MB, "workers": chosen.workers,
        "chosen_features": list(chosen.features), "chosen_scenarios": list(chosen.scenarios),
    }  # fmt: skip
    return settings | ({"asked": chosen.asked} if chosen.asked else {})


def _upgrade(tx: Transaction, source: str, target: str) -> Json:
    """Name what an upgrade is tried with: the earlier image for sticks, and the kit to the one that is tested."""
    kit, event = kit_between(tx, source, target), newest_event(tx, source, EventKind.IMAGE_BUILT)
    if event is None:
        raise NotFound(f"no image {source} was built here", hint="distwright image list")
    usb = plain.digest(plain.mapping(event.event.body, "files"), f"{source}.usb.img")
    return {"from": source, "usb": str(usb), "kit": str(kit)}


def seconds_of(trials: Sequence[Trial], image: str, firmware: str) -> dict[str, int]:
    """Say how long each scenario took when it last went well (pure). trials: newest first."""
    begin, found = subjects_of(image, firmware), dict[str, int]()
    for trial in trials:
        if trial.subject.startswith(begin) and trial.outcome is Outcome.OK:
            found.setdefault(trial.subject.removeprefix(begin), trial.took_s)
    return found


def driver_tar() -> bytes:
    """Pack our driver: what runs beside QEMU in the root of the testers."""
    folder = Path(driving.__file__).parent
    return packed({f"driving/{file.name}": file.read_bytes() for file in folder.glob("*.py")})


def features_tar(folders: Mapping[str, Mapping[str, bytes]]) -> bytes:
    """Pack features, with what lies beside them, from several folders into one.

    Raises BadInput if two have a file of one name, and for what would not be run or not be used: a feature in a folder below, and
    the files by which our driver binds behave to a machine.
    """
    files: dict[str, bytes] = {}
    for folder, found in folders.items():
        for path, content in found.items():
            below = f"{folder}/{path}".rpartition("/")[0]
            if path.endswith(".feature") and below not in folders:
                raise BadInput(
                    f"{folder}/{path} would not be run: features are looked for in {folder} alone",
                    hint=f"name {below} in `features` too, or move it",
                )
            if path in _OURS:
                raise BadInput(
                    f"{folder}/{path} would not be used: the driver has a file of that name",
                    hint="write steps in steps/NAME.py, by another name",
                )
            if f"features/{path}" in files:
                raise BadInput(
                    f"{folder}/{path} is in another folder of features, too", hint="give one of them another name"
                )
            files[f"features/{path}"] = content
    if not any(name.endswith(".feature") and name.count("/") == 1 for name in files):
        raise NotFound(f"there is no feature in {', '.join(folders)}", hint="name one NAME.feature and push it")
    return packed(files)


def features_before(repo: Path, base_commit: str, folders: Sequence[str]) -> bytes:
    """Pack the features that the base of a topic has, by which its scenarios are known to be in quarantine. None is no error."""
    files: dict[str, bytes] = {}
    for folder in folders:
        for blob in files_at(repo, base_commit, f"{folder}/"):
            path = blob.path.removeprefix(f"{folder}/")
            if path.endswith(".feature") and "/" not in path and blob.mode != "120000":
                files.setdefault(f"{BASE_FEATURES}/{path}", blob.content)
    return packed(files or {f"{BASE_FEATURES}/none": b""})


def packed(files: Mapping[str, bytes]) -> bytes:
    """Pack files: owned by root, as old as can be; same files, same bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(files[name]), 0o644
            tar.addfile(member, io.BytesIO(files[name]))
    return out.getvalue()


def _files(repo: Path, commit: str, folder: str) -> dict[str, bytes]:
    """Read the plain files of a folder of features."""
    blobs = [blob for blob in files_at(repo, commit, f"{folder}/") if blob.mode != "120000"]
    if not blobs:
        raise NotFound(f"the repo of the image has no folder {folder}", hint="look at features in its table")
    return {blob.path.removeprefix(f"{folder}/"): blob.content for blob in blobs}
