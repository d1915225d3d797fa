"""An installation in which every operation of the archive has something to do, copied for each trial; and what is compared.

ground = make_ground(folder)
trial = ground.copy(folder / "1")
trial.run("suite", "publish", "devel")
assert trial.state() == …
"""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent

from tests.worlds.archive import MadeDeb, MadeSource, Upstream, make_deb, make_source, make_upload, signer
from tests.worlds.client import SeenSuite, see_suite
from tests.worlds.keys import key_file
from tests.worlds.times import DATE, DAY
from tests.worlds.tracing import Ended

from distwright.app import App, open_app
from distwright.archive.fsck import Damage, check_archive, check_objects
from distwright.archive.garbage import collect
from distwright.archive.snapshots import parse_snapshot
from distwright.archive.suites import packages_of
from distwright.cli.main import main
from distwright.formats.clearsign import strip_clearsign
from distwright.model.digests import sha256_of
from distwright.site.applied import apply_config
from distwright.site.serving import Serving
from distwright.store.archives import list_publications, list_snapshots
from distwright.store.locks import locked
from distwright.store.suites import list_revisions, list_suites
from distwright.store.uploads import list_uploads

CONFIG = dedent("""\
    format = 1
    [site]
    name = "Petrel"
    [archive.petrel]
    kind = "own"
    origin = "Petrel"
    label = "Petrel"
    contents = true
    pdiffs = true
    key = {{ credential = "petrel" }}
    [suite.devel]
    archive = "petrel"
    [archive.debian]
    kind = "upstream"
    suites = ["stable"]
    keyring = "upstream.asc"
    pool = "full"
    key = {{ credential = "petrel" }}
    fetch_from = "{upstream}"
    [upload.ada]
    keyring = "ada.asc"
    suites = ["devel"]
    max_age_days = 3650
""")
DROPPED, TAKEN, RECORDED = "2029010101", "2030010101", "2030010101"
OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "add": ("suite", "add", "devel", "new", "--publish"),
    "merge": ("suite", "merge", "devel", "topic", "--publish"),
    "snapshot": ("snapshot", "take", "petrel", "--serial", TAKEN, "--publish"),
    "drop": ("snapshot", "drop", "petrel", DROPPED, "--apply"),
    "collect": ("archive", "collect", "--apply"),
    "import": ("archive", "import", "petrel", "tree", "theirs", "--suite", "stable=moved", "--like", "devel", "--publish"),
    "record": ("archive", "record", "debian", "--serial", RECORDED),
    "upload": ("upload", "file", "upload/beeper_1.0_source.changes"),
}  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """A folder with an installation in `state/`, and what its operations take."""

    folder: Path

    @property
    def root(self) -> Path:
        """The state directory."""
        return self.folder / "state"

    @property
    def archive(self) -> Path:
        """The served tree."""
        return self.root / "public" / "petrel"

    def words(self, operation: str) -> list[str]:
        """Give the command line of an operation, to be run in the folder."""
        return [*OPERATIONS[operation], "--state", "state"]

    def run(self, *words: str) -> Ended:
        """Run a command here in a forked child: as a process of its own, but one that has loaded everything already."""
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            sys.stdout.flush()
            sys.stderr.flush()
            child = os.fork()
            if child == 0:
                _be_the_command(
                    ["distwright", *words, "--state", "state"], self.folder, stdout.fileno(), stderr.fileno()
                )
            _, status = os.waitpid(child, 0)
            texts = []
            for file in (stdout, stderr):
                file.seek(0)
                texts.append(file.read().decode())
        return Ended(os.waitstatus_to_exitcode(status), *texts)

    def done(self, *words: str) -> str:
        """Run a command that must succeed."""
        ended = self.run(*words)
        assert ended.exit_code == 0, f"{' '.join(words)}: {ended.exit_code}\n{ended.stdout}{ended.stderr}"
        return ended.stdout

    @contextmanager
    def opened(self) -> Iterator[App]:
        """Open the installation in this process."""
        app = open_app(str(self.root))
        try:
            yield app
        finally:
            app.database.close()

    def served(self) -> dict[str, SeenSuite]:
        """Read everything that our archive serves, as a client that insists on one consistent state of each suite."""
        certificate = signer("petrel").certificate()
        found = {}
        for link in sorted([*self.archive.glob("dists/*"), *self.archive.glob("snapshots/*/dists/*")]):
            if not link.name.startswith(".") and not link.parts[-3].startswith("."):
                base = link.parent.parent
                found[str(link.relative_to(self.archive))] = see_suite(base, link.name, certificate)
        return found

    def packages(self) -> dict[str, list[str]]:
        """Say what clients see: link -> packages."""
        return {link: seen.packages for link, seen in self.served().items()}

    def recorded(self) -> dict[str, list[str]]:
        """Read all that recorded snapshots serve: serial -> paths with the hashes of their content, all as signed."""
        found = {}
        with self.opened() as app:
            serving = app.serving()
            with app.database.read() as tx:
                rows = list_snapshots(tx, "debian")
            for row in rows:
                suite = parse_snapshot(app.objects.read(row.digest)).suites["stable"]
                folder = f"{row.serial}/dists/stable"
                release = strip_clearsign(_read(serving, f"{folder}/InRelease")).decode()
                lines = []
                for index in suite.indexes:
                    digest = sha256_of(_read(serving, f"{folder}/{index.path}"))
                    assert f" {digest} " in release, index.path
                    lines.append(f"{index.path} {digest}")
                found[str(row.serial)] = lines
        return found

    def state(self) -> dict[str, object]:
        """Give what counts: what suites have and how they came to it, snapshots, verdicts, what clients see. No times."""
        with self.opened() as app:
            with app.database.read() as tx:
                suites = list_suites(tx)
                steps = {
                    row.name: [
                        (step.action, step.before, step.after) for step in list_revisions(tx, "petrel", row.name)
                    ]
                    for row in suites
                }
                snapshots = [(row.archive, row.serial, row.digest) for row in list_snapshots(tx)]
                publications = list_publications(tx)
                verdicts = [(row.source, row.is_accepted) for row in list_uploads(tx)]
            live = sorted((row.suite, row.serial, row.revision) for row in publications if row.state == "live")
            packages = {row.name: list(packages_of(app.objects, row)) for row in suites}
        seen = {
            link: ({path: text for path, text in suite.indexes.items() if ".diff/" not in path}, sorted(suite.pool))
            for link, suite in self.served().items()
        }
        return {
            "suites": [(row.name, row.kind, row.revision) for row in suites],
            "steps": steps,
            "snapshots": snapshots,
            "live": live,
            "building": [row.id for row in publications if row.state == "building"],
            "verdicts": verdicts,
            "packages": packages,
            "seen": seen,
            "recorded": self.recorded(),
        }

    def kept(self) -> dict[str, list[str]]:
        """List what is there: objects, the trash, the served names."""
        places = ("objects/sha256", "objects/trash", "public/petrel")
        return {
            place: sorted(
                file.name if "trash" in place else str(file.relative_to(self.root))
                for file in (self.root / place).rglob("*")
                if file.is_symlink() or not file.is_dir()
            )
            for place in places
        }

    def damages(self) -> list[Damage]:
        """Check everything."""
        with self.opened() as app:
            context = app.command_context()
            return [*check_objects(context), *check_archive(context, "petrel"), *check_archive(context, "debian")]

    def retry_broken_jobs(self) -> None:
        """Queue again what ended because of us, not of what it worked on: a worker would do that by itself, later."""
        for row in json.loads(self.done("job", "list", "--json")):
            if row["state"] == "broken":
                self.done("job", "retry", str(row["job"]))

    def assert_no_lock_is_held(self) -> None:
        """Every lock that there is can be had at once."""
        for place in (self.root / "run" / "locks").glob("*"):
            with locked(place, patience_s=0):
                pass

    def leftovers(self) -> list[str]:
        """Collect, and list what cut-off operations have left nevertheless."""
        with self.opened() as app:
            collect(app.command_context(), ["petrel"], really=True)
        places = [
            *self.root.glob("objects/incoming/*"),
            *self.root.glob("cache/pieces/*/*.*"),
            *self.root.glob("cache/contents/*/*.*"),
            *self.root.glob("cache/pool/*.*"),
            *self.root.glob("cache/import/*"),
            *self.root.glob("cache/moving-in"),
            *self.root.glob("run/work/*"),
            *self.archive.glob("dists/.index/.*"),
            *self.archive.glob("dists/.new-*"),
            *self.archive.glob("dists/.rev/*/.*"),
            *self.archive.glob("snapshots/.*"),
            *self.archive.glob("snapshots/*/dists/.*"),
        ]
        return sorted(str(place.relative_to(self.root)) for place in places)


@dataclass(frozen=True)
class Ground:
    """What trials are copies of."""

    folder: Path

    def copy(self, folder: Path) -> Trial:
        """Copy it, links between files included."""
        subprocess.run(["cp", "-a", "--reflink=auto", str(self.folder), str(folder)], check=True)
        return Trial(folder)


def make_ground(folder: Path) -> Ground:
    """Make the installation: something is published, recorded, branched, frozen, retired, removed and in the trash."""
    folder.mkdir()
    trial, elsewhere = Trial(folder), folder.with_name(f"{folder.name}-upstream")
    upstream = Upstream(valid_days=None)
    upstream.add(make_deb("hello"), make_deb("world", architecture="all"), make_source("hello"))
    upstream.publish()
    _configure(trial, upstream.write(elsewhere))
    for version in ("1.0", "1.1"):
        write_packages(
            folder / version, make_deb("hello", version), make_source("hello", version), make_deb("old", version)
        )
        trial.done("suite", "add", "devel", version, "--publish")
    trial.done("suite", "remove", "devel", "old", "--publish")
    trial.done("snapshot", "take", "petrel", "--serial", DROPPED, "--publish")
    trial.done("suite", "branch", "devel", "topic")
    write_packages(folder / "topic", make_deb("hello", "2.0"), make_source("hello", "2.0"), make_deb("gull", "1.0"))
    trial.done("suite", "add", "topic", "topic", "--publish")
    trial.done("archive", "record", "debian", "--serial", "2029010101")
    upstream.add(make_deb("hello", "2.0"), make_deb("wave"), make_source("wave"))
    upstream.publish(DATE + DAY)
    upstream.write(elsewhere)
    write_packages(
        folder / "new", make_deb("hello", "1.2"), make_source("hello", "1.2"), *map(make_deb, ("tern", "skua"))
    )
    upstream.write(folder / "theirs")
    upload = make_upload(make_source("beeper"), make_deb("beeper"))
    (folder / "upload").mkdir()
    for name, content in {**upload.files, "beeper_1.0_source.changes": upload.changes}.items():
        (folder / "upload" / name).write_bytes(content)
    age(trial)
    return Ground(folder)


def _configure(trial: Trial, url: str) -> None:
    app = open_app(str(trial.root), create=True)
    certificates = {"upstream.asc": signer("upstream").certificate(), "ada.asc": signer("uploader").certificate()}
    apply_config(
        {"distwright.toml": CONFIG.format(upstream=url)}, certificates, "0" * 40,
        database=app.database, objects=app.objects, paths=app.paths, now=datetime.now(UTC),
    )  # fmt: skip
    app.database.close()
    key = app.paths.key("petrel")
    key.write_bytes(key_file("petrel"))
    key.chmod(0o600)


def write_packages(folder: Path, *packages: MadeDeb | MadeSource) -> None:
    """Write packages into a new folder."""
    folder.mkdir()
    for package in packages:
        files = {package.file_name: package.content} if isinstance(package, MadeDeb) else package.files
        for name, content in files.items():
            (folder / name).write_bytes(content)


def age(trial: Trial) -> None:
    """Let a fortnight have passed for what is there: retired publications, objects that nobody names, and some in the trash."""
    then = time.time() - timedelta(days=14).total_seconds()
    at = datetime.fromtimestamp(then, UTC)
    with sqlite3.connect(trial.root / "db.sqlite") as database:
        stamp = f"{at:%Y-%m-%dT%H:%M:%S.%fZ}"
        database.execute("UPDATE publications SET at = ?", (stamp,))
        database.execute("UPDATE publications SET retired_at = ? WHERE retired_at IS NOT NULL", (stamp,))
    database.close()
    with trial.opened() as app:
        for number in range(6):
            digest = app.objects.put(f"nobody names object {number}".encode())
            if number < 3:
                app.objects.discard(digest, at.date())
    for place in [*trial.root.glob("objects/sha256/*/*"), *trial.archive.rglob("*")]:
        os.utime(place, (then, then), follow_symlinks=False)


def _read(serving: Serving, path: str) -> bytes:
    with serving.recorded("debian").find(path)[0] as file:
        return file.read()


def _be_the_command(argv: Sequence[str], folder: Path, stdout: int, stderr: int) -> None:
    code = 70
    try:
        os.chdir(folder)
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        sys.argv = list(argv)
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
