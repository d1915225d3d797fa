"""Where things are below the state directory."""

import os
from dataclasses import dataclass
from pathlib import Path


def half_made(place: Path) -> Path:
    """Give the name beside `place` under which it is made, before one rename: `.new-…`, which who copies a tree leaves out."""
    return place.with_name(f".new-{place.name}.{os.getpid()}")


@dataclass(frozen=True, slots=True)
class StatePaths:
    """The folders of one installation. Only `work` and the folders in `roots` are ever writable by sandboxed programs."""

    root: Path

    @property
    def database(self) -> Path:
        """The file of the default database (0600, and so are SQLite's files beside it)."""
        return self.root / "db.sqlite"

    @property
    def database_place(self) -> Path:
        """The file that says where else the database is (0600); not there: it is the default one."""
        return self.root / "db.url"

    @property
    def home(self) -> Path:
        """The file that says for which server this machine works (0600); not there: this is a server itself."""
        return self.root / "home.json"

    @property
    def sqlite_url(self) -> str:
        """The address of the default database."""
        return f"sqlite:///{self.database}"

    @property
    def database_url(self) -> str:
        """The address of the database that is in use."""
        try:
            return self.database_place.read_text().strip()
        except FileNotFoundError:
            return self.sqlite_url

    @property
    def has_database(self) -> bool:
        """Whether there is an installation here."""
        return self.database_place.exists() or self.database.exists()

    @property
    def objects(self) -> Path:
        """The object store."""
        return self.root / "objects"

    @property
    def public(self) -> Path:
        """Trees that any web server or rsync may serve."""
        return self.root / "public"

    @property
    def private(self) -> Path:
        """Trees of private archives (0700): served by us alone, to those who may read them."""
        return self.root / "private"

    @property
    def repos(self) -> Path:
        """Bare git repositories."""
        return self.root / "repos"

    @property
    def hosting(self) -> Path:
        """Gitolite's HOME, there only if it serves here: its configuration, its logs, keys of persons (0700, the git user's)."""
        return self.root / "hosting"

    @property
    def logs(self) -> Path:
        """Logs of jobs."""
        return self.root / "logs"

    @property
    def keys(self) -> Path:
        """Secret keys (0700)."""
        return self.root / "keys"

    @property
    def spool(self) -> Path:
        """Where git hooks leave their events."""
        return self.root / "run" / "spool"

    @property
    def incoming(self) -> Path:
        """Where uploads are dropped, unless the configuration says another place."""
        return self.root / "incoming"

    @property
    def uploads(self) -> Path:
        """Files of HTTP uploads that wait for their .changes: a folder for each user."""
        return self.root / "uploads"

    @property
    def work(self) -> Path:
        """Work folders of running jobs."""
        return self.root / "run" / "work"

    @property
    def progress(self) -> Path:
        """How far running jobs are: one small file each."""
        return self.root / "run" / "progress"

    @property
    def cache(self) -> Path:
        """Derived things: all of it may be removed at any time."""
        return self.root / "cache"

    @property
    def roots(self) -> Path:
        """Unpacked root file systems."""
        return self.cache / "roots"

    def lock(self, name: str) -> Path:
        """The lock of this name (store/locks.py)."""
        return self.root / "run" / "locks" / name

    def job_log(self, job: int, fence: int) -> Path:
        """The log of one attempt."""
        return self.logs / f"{job // 1000:04d}" / f"{job}-{fence}.log"

    def repo(self, name: str) -> Path:
        """A bare repository."""
        return self.repos / f"{name}.git"

    def repo_names(self) -> list[str]:
        """Name the bare repositories that are here, configured or not."""
        return sorted(path.parent.name.removesuffix(".git") for path in self.repos.glob("*.git/HEAD"))

    def key(self, credential: str) -> Path:
        """The key file of a credential."""
        return self.keys / f"{credential}.pgp"

    def token(self, credential: str) -> Path:
        """The file of a token."""
        return self.keys / f"{credential}.token"

    def make(self) -> None:
        """Make all folders that are missing, and an empty database that only its owner reads.

        Sandboxed programs pass through the state to their work folder and root; they cannot list it (0711).
        """
        self.root.mkdir(parents=True, exist_ok=True, mode=0o711)
        self.objects.mkdir(exist_ok=True, mode=0o755)
        for folder in (
            self.public,
            self.repos,
            self.logs,
            self.incoming,
            self.spool,
            self.work,
            self.progress,
            self.roots,
        ):
            folder.mkdir(parents=True, exist_ok=True)
        self.keys.mkdir(exist_ok=True, mode=0o700)
        self.private.mkdir(exist_ok=True, mode=0o700)
        if not self.has_database:
            os.close(os.open(self.database, os.O_WRONLY | os.O_CREAT, 0o600))
        self.uploads.mkdir(exist_ok=True, mode=0o700)
