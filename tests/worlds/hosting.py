"""A git server of the tests' own: real Gitolite behind a real sshd on loopback, and persons with keys of theirs.

As root, the server is a system user with a shell and its home in the state (worlds/sshd.py), as docs/how-to/host-git.md says, and
its settings are Debian's. Else the server is the user who runs the tests, and sshd is told where everything is.
"""

import contextlib
import json
import os
import shlex
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests.worlds.processes import wait_until
from tests.worlds.servers import free_port
from tests.worlds.sshd import begun_as, host_key, user_of_sshd, without_penalties

from distwright.app import App, open_app
from distwright.config.difference import Change
from distwright.repos.configured import begin_hosting
from distwright.site.applied import apply_config

GIT_USER = user_of_sshd()
_SSHD = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
PidFile none
UsePAM no
PasswordAuthentication no
LogLevel ERROR
"""
_AT_ANOTHER_HOME = """\
AuthorizedKeysFile {home}/.ssh/authorized_keys
SetEnv GITOLITE_HTTP_HOME={home}
"""
_COMMITTER = {
    "GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org", "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null",
}  # fmt: skip


@dataclass
class Server:
    """A state folder whose repos are served. keys: of persons, private, by name."""

    folder: Path
    port: int = field(default_factory=free_port)
    sshd: int = 0

    @property
    def state(self) -> Path:
        """The state."""
        return self.folder / "state"

    @property
    def app(self) -> App:
        """Open the state anew."""
        return open_app(str(self.state), create=True)

    def public_key(self, person: str) -> str:
        """Give a person's public key, made when it is asked for first."""
        key = self.folder / "keys" / person
        if not key.exists():
            key.parent.mkdir(exist_ok=True)
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", person, "-f", str(key)], check=True)
        return Path(f"{key}.pub").read_text().strip()

    def config(self, tables: str, persons: Mapping[str, str]) -> str:
        """Write a configuration: tables, and persons, each with more lines of its table."""
        people = "".join(
            f'[person.{name}]\nname = "Somebody"\nemail = "somebody@example.org"\nkeys = []\n'
            f'ssh_keys = ["{self.public_key(json.loads(name) if name.startswith(chr(34)) else name)}"]\n{more}\n'
            for name, more in persons.items()
        )
        return f'format = 1\n[site]\nname = "Petrel"\ngit_user = "{GIT_USER}"\n{tables}\n{people}'

    def begin(self, text: str) -> None:
        """Apply a first configuration, and let Gitolite serve."""
        self.apply(text)
        app = self.app
        begin_hosting(app.config(), app.paths, app.now())
        app.database.close()

    def apply(self, text: str) -> list[Change]:
        """Apply a configuration; give what changed."""
        app = self.app
        try:
            return apply_config(
                {"distwright.toml": text}, {}, "0" * 40,
                database=app.database, objects=app.objects, paths=app.paths, now=datetime.now(UTC),
            )  # fmt: skip
        finally:
            app.database.close()

    def address(self, repo: str) -> str:
        """Say what to clone."""
        return f"ssh://{GIT_USER}@127.0.0.1:{self.port}/{repo}"

    def ssh(self, person: str) -> str:
        """Say what git shall call for ssh, as a person; nobody's own settings and keys count."""
        options = ("IdentitiesOnly=yes", "BatchMode=yes", "StrictHostKeyChecking=no", "LogLevel=ERROR",
                   f"UserKnownHostsFile={self.folder}/known_hosts")  # fmt: skip
        words = ("ssh", "-F", "/dev/null", "-i", str(self.folder / "keys" / person))
        return shlex.join([*words, *(word for option in options for word in ("-o", option))])

    def git(self, person: str, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run git as a person at a machine of theirs."""
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(self.folder), **_COMMITTER}
        environment["GIT_SSH_COMMAND"] = self.ssh(person)
        return subprocess.run(["git", *words], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)

    def clone(self, person: str, repo: str, name: str = "") -> "Checkout":
        """Clone a repo as a person."""
        place = self.folder / "home" / person / (name or repo)
        place.parent.mkdir(parents=True, exist_ok=True)
        done = self.git(person, "clone", "--quiet", self.address(repo), str(place))
        assert done.returncode == 0, done.stderr
        return Checkout(self, person, place)

    def gitolite(self, *words: str, stdin: str = "", cwd: Path | None = None) -> str:
        """Run gitolite on the server; it must succeed."""
        home = self.state / "hosting"
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(home), "USER": GIT_USER, **_COMMITTER}
        become = (
            ["setpriv", "--reuid", GIT_USER, "--regid", GIT_USER, "--clear-groups", "--"] if os.geteuid() == 0 else []
        )
        done = subprocess.run(
            [*become, *words], env=environment, cwd=cwd or home, input=stdin, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def gitolite_access(self, questions: Sequence[tuple[str, str, str, str]]) -> list[bool]:
        """Ask Gitolite what somebody may do: (repo, user, access, ref)."""
        repos = sorted({repo for repo, *_ in questions})
        answers = {}
        for access, ref in sorted({(access, ref) for _, _, access, ref in questions}):
            pairs = "".join(
                f"{repo} {user}\n" for repo in repos for user in sorted({user for _, user, *_ in questions})
            )
            said = self.gitolite("gitolite", "access", "%", "%", access, ref, stdin=pairs)
            for line in said.splitlines():
                repo, user, answer = line.split("\t")
                answers[repo, user, access, ref] = "DENIED" not in answer
        return [answers[question] for question in questions]


@dataclass
class Checkout:
    """A clone of somebody's."""

    server: Server
    person: str
    place: Path

    def git(self, *words: str) -> str:
        """Run git; it must succeed. Gives what it says on both outputs."""
        done = self.server.git(self.person, *words, cwd=self.place)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def commit(self, files: Mapping[str, str], message: str = "a change") -> str:
        """Commit files; give the commit."""
        for name, text in files.items():
            (self.place / name).parent.mkdir(parents=True, exist_ok=True)
            (self.place / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD").strip()

    def push(self, *words: str) -> str:
        """Push; it must succeed."""
        return self.git("push", "origin", *words)

    def refused(self, *words: str) -> str:
        """Push; it must be refused. Gives the words of the server."""
        done = self.server.git(self.person, "push", "origin", *words, cwd=self.place)
        assert done.returncode != 0, done.stderr
        lines = (line.removeprefix("remote: ").strip() for line in done.stderr.splitlines())
        return "\n".join(lines)


@contextmanager
def git_server(folder: Path) -> Iterator[Server]:
    """Run sshd for a state below a folder until the block ends."""
    server = Server(folder)
    host_key(folder)
    home = server.state / "hosting"
    settings = _SSHD + ("" if os.geteuid() == 0 else _AT_ANOTHER_HOME)
    settings = without_penalties(settings).format(port=server.port, folder=folder, home=home)
    (folder / "sshd_config").write_text(settings)
    argv = ["/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "sshd_config")]
    with (folder / "sshd.log").open("wb") as log:
        process = subprocess.Popen([*begun_as(folder, home), *argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_until(lambda: process.poll() is not None or _listens(server.port), f"sshd listens on {server.port}")
        server.sshd = process.pid
        assert process.poll() is None, (folder / "sshd.log").read_text()
        yield server
    finally:
        process.terminate()
        process.wait(20)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
