"""An installation whose repos are pushed to: what the server does at each look, short of running jobs."""

from dataclasses import dataclass, replace
from pathlib import Path

from tests.unit.images.test_resolve import FILES, installation
from tests.worlds.installation import WorldContext
from tests.worlds.keys import signer
from tests.worlds.packages import make_deb, make_source
from tests.worlds.repos import Files, changelog, commit
from tests.worlds.suite import OwnSuite

from distwright.archive.branching import SuitesOfBranches
from distwright.archive.resolve import publish_request
from distwright.archive.suites import publish_suite
from distwright.flow.advance import advance, unanswered
from distwright.flow.view import View
from distwright.model.records import Job, SuiteState
from distwright.repos.pushes import take_in_pushes
from distwright.store.archives import live_publication
from distwright.store.jobs import list_jobs
from distwright.store.suites import get_suite, list_suites
from distwright.tools.git import git

PACKAGE: Files = {"debian/changelog": changelog("greeter", "1.0"), "debian/source/format": "3.0 (native)\n"}


@dataclass
class Branched:
    """Both upstreams are recorded, devel is published. The date of each commit is the same."""

    context: WorldContext

    @classmethod
    def made(cls, folder: Path) -> "Branched":
        """Make one below a folder."""
        return cls(installation(folder))

    def change_repo(self, repo: str, **changes: object) -> None:
        """Configure a repo otherwise."""
        config = self.context.config
        table = config.repos[repo].model_copy(update=changes)
        self.context.config = replace(config, repos={**config.repos, repo: table})

    def push(
        self,
        repo: str,
        branch: str = "main",
        files: Files | None = None,
        *,
        tag: str | None = None,
        at: str | None = None,
    ) -> str:
        """Push a commit of usual files and these, on top of what the branch has, or of where another one is. Gives its name."""
        if at is not None:
            self.begin(repo, branch, at=at)
        usual = FILES if repo == "live" else PACKAGE
        return commit(self.context.paths, repo, {**usual, **(files or {})}, branch=branch, tag=tag)

    def begin(self, repo: str, branch: str, *, at: str) -> None:
        """Push a branch that is where another one is."""
        git(self.context.paths.repo(repo), "update-ref", f"refs/heads/{branch}", f"refs/heads/{at}")

    def delete(self, repo: str, branch: str) -> None:
        """Delete a branch."""
        git(self.context.paths.repo(repo), "update-ref", "-d", f"refs/heads/{branch}")

    def take_in(self) -> int:
        """Know what was pushed."""
        settling = SuitesOfBranches(
            self.context.database, self.context.objects, self.context.paths, self.context.config
        )
        repos = sorted(self.context.config.repos)
        return take_in_pushes(self.context.database, self.context.paths, repos, self.context.clock, settling=settling)

    def look(self) -> None:
        """Take in pushes, and order what follows from all events."""
        self.take_in()
        view = View(self.context.ground(), lambda credential: signer(credential).certificate())
        while advance(self.context.database, view, self.context.clock, lambda _pool: None):
            pass

    def publish(self) -> None:
        """Serve every suite as it is now, and look at what follows."""
        for row in self.suites():
            with self.context.database.read() as tx:
                live = live_publication(tx, row.archive, row.name)
            if live is None or live.revision != row.revision:
                publish_suite(self.context, publish_request(self.context.config, row))
        self.look()

    def fill(self, suite: str, version: str) -> None:
        """Let a suite have greeter in a version, as an upload would; it is published after that."""
        OwnSuite(self.context, suite).hold(make_deb("greeter", version), make_source("greeter", version))
        self.publish()

    def suites(self) -> list[SuiteState]:
        """List the suites."""
        with self.context.database.read() as tx:
            return list_suites(tx)

    def suite(self, name: str) -> SuiteState:
        """Give one."""
        with self.context.database.read() as tx:
            return get_suite(tx, "petrel", name)

    def jobs(self, kind: str) -> list[Job]:
        """List the jobs of a kind, the oldest first."""
        with self.context.database.read() as tx:
            return list(reversed(list_jobs(tx, kind=kind, limit=1000)))

    def images(self) -> list[str]:
        """Say of what images were ordered, the oldest first."""
        return [str(job.inputs["branch"]) for job in self.jobs("image.build")]

    def open_reasons(self) -> list[tuple[str, str, bool]]:
        """List what has not followed yet: subject, reason, whether it is refused."""
        with self.context.database.read() as tx:
            return [(row.event.event.subject, row.reason, row.is_refused) for row in unanswered(tx)]
