"""An installation with recorded upstreams and a hosted recipe: what there is to freeze, for the command line."""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from textwrap import dedent

from tests.unit.archive.requests import record_request
from tests.worlds.archive import DATE, MIRROR, Upstream, UpstreamFetcher
from tests.worlds.commands import CONFIG, CommandLine, command_line
from tests.worlds.installation import WorldContext
from tests.worlds.repos import Files, commit

from distwright.archive.record import record
from distwright.config.load import parse_config
from distwright.model.serials import Serial
from distwright.store.database import Database
from distwright.store.objects import FileObjects
from distwright.store.paths import StatePaths
from distwright.tools.git import git, refs

UPSTREAMS = dedent("""\
    [archive.debian]
    kind = "upstream"
    suites = ["stable"]
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    key = { credential = "mirror" }
    [archive.security]
    kind = "upstream"
    suites = ["stable-security"]
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    key = { credential = "mirror" }
    stays_latest = true
    [repo.live]
    frozen = ["stable", "1.*"]
    thawed = ["main"]
    [environment.tools]
    from = ["debian/stable"]
    [image.petrel]
    repo = "live"
    recipe = "images/petrel"
    from = ["debian/stable", "security/stable-security", "petrel/devel"]
    tools = "tools"
    boot_expect = "petrel"
""")


@dataclass(frozen=True)
class Frozen:
    """A command line, what upstream has, and the context of the same installation. clone: a work tree of the repo `live`."""

    line: CommandLine
    upstreams: dict[str, Upstream]
    context: WorldContext
    clone: Path

    def record(self, archive: str, at: datetime, *, publish: bool = True) -> Serial:
        """Publish what upstream has, and record it at the same time."""
        upstream = self.upstreams[archive]
        if publish:
            upstream.publish(at)
        self.context.clock = at
        request = record_request(f"{MIRROR}/{archive}", suites=upstream.suites)
        request = replace(request, archive=archive, label=upstream.label, credential="mirror")
        return record(request, self.context, self.context.paths.cache / "pool").row.serial

    def commit(self, files: Files, branch: str = "stable", tag: str | None = None) -> None:
        """Make a commit in the hosted repo."""
        commit(self.context.paths, "live", files, branch=branch, tag=tag)

    def check_out(self, branch: str) -> None:
        """Begin a branch in the work tree."""
        if refs(self.clone):
            git(self.clone, "checkout", "-q", "-B", branch)
        else:
            git(self.clone, "symbolic-ref", "HEAD", f"refs/heads/{branch}")

    def push(self, branch: str = "stable") -> None:
        """Commit everything in the work tree and push it."""
        git(self.clone, "add", "-A")
        git(self.clone, "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "-qm", "pins")
        git(self.clone, "push", "-q", str(self.context.paths.repo("live")), f"HEAD:refs/heads/{branch}")

    def pin(self, archive: str) -> str:
        """Read a pin of the work tree."""
        return (self.clone / "config" / "APT_snapshots.d" / archive / "serial").read_text()


def frozen_world(folder: Path, *, valid_days: int | None = None, more: str = "") -> Frozen:
    """Make an installation below a folder; nothing is recorded yet. more: settings of the archive debian."""
    config = CONFIG + UPSTREAMS.replace("[archive.security]", f"{more}[archive.security]", 1)
    line = command_line(folder, config)
    paths = StatePaths(line.state)
    upstreams = {
        "debian": Upstream(valid_days=valid_days),
        "security": Upstream(suites=("stable-security",), label="Debian-Security", valid_days=valid_days),
    }
    fetcher = UpstreamFetcher({f"{MIRROR}/{name}": upstream for name, upstream in upstreams.items()})
    context = WorldContext(paths, Database(paths.database_url), FileObjects(paths.objects), fetcher)
    context.config = parse_config([("distwright.toml", config)])
    context.clock = DATE
    clone = folder / "clone"
    clone.mkdir()
    git(clone, "init", "-q", "--initial-branch=stable")
    return Frozen(line, upstreams, context, clone)
