"""An installation with an upload queue: grants by configuration, jobs run as a worker would."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.worlds.archive import MadeUpload, make_deb, make_source, make_upload, signer
from tests.worlds.installation import CONFIG, WorldContext, make_context
from tests.worlds.uploads import add_suite

from distwright.archive.kinds import ACCEPT
from distwright.config.load import parse_config
from distwright.jobs.lease import claim_next, end_attempt
from distwright.model.digests import Json
from distwright.model.records import Job
from distwright.site.uploading import UploadQueue, upload_list
from distwright.tools.sandbox import sandbox_for
from distwright.worker.context import JobContext
from distwright.worker.execute import execute

TABLES = """
[upload.ada]
keyring = "keys/ada.asc"
suites = ["devel"]
max_age_days = 3650
token = { credential = "upload-ada" }
[upload.eve]
keyring = "keys/eve.asc"
suites = ["topic-*"]
max_age_days = 3650
"""


def upload_of(version: str = "1.0", name: str = "greeter") -> MadeUpload:
    """Give a right upload."""
    return make_upload(make_source(name, version), make_deb(name, version))


@dataclass
class QueueWorld:
    """An installation with a queue. queue: as the faces have it."""

    context: WorldContext
    queue: UploadQueue

    @property
    def drop(self) -> Path:
        """The drop folder."""
        return self.queue.drop_folder

    def put(self, folder: Path, upload: MadeUpload) -> Path:
        """Put an upload into a folder, the .changes last; give its place."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in upload.files.items():
            (folder / name).write_bytes(content)
        (folder / upload.changes_name).write_bytes(upload.changes)
        return folder / upload.changes_name

    def run(self) -> list[str]:
        """Run every job that waits; say how each ended."""
        ended = []
        while job := claim_next(self.context.database, ["local"], "test", self.queue.now(), [ACCEPT.kind]):
            ending = execute(ACCEPT, job.inputs, self._context(job))
            end_attempt(self.context.database, job, ending, self.queue.now())
            ended.append(str(ending.outcome))
        return ended

    def _context(self, job: Job) -> JobContext:
        own = self.context
        return JobContext(
            own.database, own.objects, own.fetcher, own.config, own.paths, sandbox_for(1000), job.id, job.fence,
            tell=lambda _line: None, is_cancelled=lambda: False,
        )  # fmt: skip

    def results(self) -> list[tuple[Json, Json]]:
        """List name and result of all uploads, oldest first."""
        return [(row["name"], row["result"]) for row in reversed(upload_list(self.context.database, 100))]


def queue_world(folder: Path) -> QueueWorld:
    """Make an installation below a folder whose suite devel takes uploads of ada."""
    context = make_context(folder)
    context.config = parse_config([("distwright.toml", CONFIG + TABLES)])
    add_suite(context, "devel")
    keyrings = {
        f"keys/{name}.asc": signer(who).certificate() for name, who in (("ada", "uploader"), ("eve", "stranger"))
    }
    queue = UploadQueue(
        database=context.database,
        objects=context.objects,
        paths=context.paths,
        config=context.config,
        commit="0" * 40,
        keyring=lambda path: context.objects.put(keyrings[path]),
        hint=lambda _pool: None,
        now=lambda: datetime.now(UTC),
    )
    return QueueWorld(context, queue)
