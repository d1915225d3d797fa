"""Petrel as a layer: one package of its own is new, and the ISO is what a full build gives, file by file."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.system.line import EXAMPLE, Line, keep_in_cache, state_folder

from distwright.app import open_app
from distwright.checks.image_contents import ImageContents, read_contents
from distwright.images.layering import BACKUPS
from distwright.model.outcomes import Outcome
from distwright.model.records import Job
from distwright.site.example import push_folder
from distwright.store.jobs import list_jobs

pytestmark = [pytest.mark.system, pytest.mark.full]


@dataclass(frozen=True)
class Layered:
    """The state; the layer, and what was built in full of the same afterwards, as rows of `image list`."""

    line: Line
    layer: dict[str, Any]
    full: dict[str, Any]

    def contents(self, row: dict[str, Any]) -> ImageContents:
        """Read an image."""
        [iso] = Path(row["files"]).glob("*.iso")
        with iso.open("rb") as file:
            return read_contents(file)


@pytest.fixture(scope="module")
def layered() -> Iterator[Layered]:
    with state_folder() as folder:
        example = folder / "petrel"
        shutil.copytree(EXAMPLE, example, symlinks=True)
        table = example / "distwright.toml"
        table.write_text(re.sub(r"^outputs = .*$", 'outputs = ["iso"]', table.read_text(), flags=re.MULTILINE))
        line = Line(folder / "state")
        done = line.call("demo", str(example), "--state", str(line.state), timeout_s=1500)
        assert done.returncode == 0, done.stdout + done.stderr
        package = example / "packages" / "petrel-greeter"
        changelog = package / "debian" / "changelog"
        changelog.write_text(changelog.read_text().replace("(1.0)", "(1.0.1)", 1))
        app = open_app(str(line.state))
        push_folder(package, app.paths.repo(package.name), "main", without=None, tag=True)
        app.database.close()
        done = line.call("image", "build", "petrel", "--layer", "--state", str(line.state), timeout_s=1500)
        assert done.returncode == 0, done.stdout + done.stderr
        done = line.call("worker", "--until-idle", "--state", str(line.state), timeout_s=1500)
        assert done.returncode == 0, done.stdout + done.stderr
        rows = line.answer("image", "list")
        yield Layered(
            line,
            next(row for row in rows if row["layer on"]),
            next(row for row in rows if not row["layer on"]),
        )
        keep_in_cache(line.state)


def jobs_of(layered: Layered, kind: str) -> list[Job]:
    app = open_app(str(layered.line.state))
    with app.database.read() as tx:
        found = list_jobs(tx, kind=kind)
    app.database.close()
    return found


def test_it_is_path_by_path_what_a_full_build_gives(layered: Layered) -> None:
    layer, full = layered.contents(layered.layer), layered.contents(layered.full)
    paths = layer.files.keys() | full.files.keys()
    differing = {path for path in paths if layer.files.get(path) != full.files.get(path)}
    assert differing - BACKUPS == {"usr/lib/os-release"}
    assert layer.sizes.keys() == full.sizes.keys()
    assert (layer.users, layer.groups) == (full.users, full.groups)


def test_it_lies_on_the_image_before_bit_for_bit_and_starts(layered: Layered) -> None:
    [job] = jobs_of(layered, "image.layer")
    assert (job.outcome, str(job.inputs["name"])) == (
        Outcome.OK,
        layered.layer["image"] and Path(layered.layer["files"]).name,
    )
    boots = {str(boot.inputs["name"]): boot.outcome for boot in jobs_of(layered, "image.boot")}
    assert boots[str(job.inputs["name"])] is Outcome.OK
    log = layered.line.call("job", "log", str(job.id), "--state", str(layered.line.state)).stdout
    assert [step for step in ("tools", "root", "customise", "initrd", "squashfs") if f"{step} is known already" in log] == [
        "tools", "root", "customise", "initrd", "squashfs",
    ]  # fmt: skip


def test_when_nothing_has_changed_it_says_so_and_builds_nothing(layered: Layered) -> None:
    done = layered.line.call("image", "build", "petrel", "--layer", "--state", str(layered.line.state))
    assert done.returncode == 0
    assert "petrel is built in full, for it is no layer: none of its packages that are ours has changed" in done.stderr
    assert len(jobs_of(layered, "image.layer")) == 1
