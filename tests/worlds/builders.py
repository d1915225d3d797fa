"""A builder behind a real sshd on loopback, as another user of this machine, and the server that has it work.

As root the builder is a system user with a home and subordinate ids of its own (worlds/sshd.py). Else it is the user who runs the
tests. What answers there may be replaced by a script.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from tests.system.line import ROOT, state_folder
from tests.worlds.installation import CONFIG
from tests.worlds.processes import wait_until
from tests.worlds.servers import free_port
from tests.worlds.sshd import begun_as, host_key, user_of_sshd, without_penalties
from tests.worlds.work import IsCancelled, Onlooker, Tell, Workshop, worker_of, workshop

from distwright.config.load import parse_config
from distwright.config.model import Config
from distwright.jobs.step import JobKind
from distwright.model.records import Job
from distwright.site.builders import builders_for, enrol_builder, meet
from distwright.site.building import join
from distwright.store.paths import StatePaths
from distwright.tools.sandbox import sandbox_for
from distwright.worker.builders import Builder
from distwright.worker.context import JobContext
from distwright.worker.loop import Worker

NAME = "mason"
USER = user_of_sshd()
SECRET = "postgresql://distwright:Vo7quahw@127.0.0.1/distwright"
"""What no builder may ever see."""
_FIRST_ID = 300_000
_SSHD = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
PidFile none
UsePAM no
PasswordAuthentication no
StrictModes no
LogLevel ERROR
AuthorizedKeysFile {home}/.ssh/authorized_keys
SetEnv PYTHONPATH={source}
"""
SPEAKS = """
import hashlib, json, os, sys, time
def send(content):
    while content:
        content = content[os.write(1, content):]
def note(**values):
    text = json.dumps(values).encode()
    send(len(text).to_bytes(4, "big") + b"J" + text)
def piece(of, content):
    send((len(content) + 8).to_bytes(4, "big") + b"P" + of.to_bytes(8, "big") + content)
def take(size):
    content = b""
    while len(content) < size:
        content += os.read(0, size - len(content)) or sys.exit()
    return content
def hear():
    while True:
        size, sign = int.from_bytes(take(4), "big"), take(1)
        content = take(size)
        if sign != b"J":
            return content
        values = json.loads(content)
        if values["say"] != "still":
            return values
first = hear()
"""
"""How a script begins that answers there in place of what is ours, and has heard the first note."""


@dataclass
class Yard:
    """A server and its builder. sshd: the process that listens. silence_s: how long each waits for a word of the other."""

    shop: Workshop
    folder: Path
    slots: int = 1
    port: int = field(default_factory=free_port)
    sshd: "subprocess.Popen[bytes] | None" = None
    silence_s: float = 180.0  # machines that run tests can be busy
    slack_s: float = 3600.0

    @property
    def home(self) -> Path:
        """The home of the builder's user."""
        return self.folder / "builder"

    @property
    def state(self) -> StatePaths:
        """The builder's state."""
        return StatePaths(self.home / "state")

    @property
    def text(self) -> str:
        """The text of the server's configuration."""
        table = (
            f'[host.{NAME}]\nrole = "builder"\naddress = "ssh://{USER}@127.0.0.1:{self.port}"\nslots = {self.slots}\n'
        )
        return f"{CONFIG}\n{table}"

    @property
    def config(self) -> Config:
        """The configuration of the server."""
        return parse_config([("distwright.toml", self.text)])

    def as_runner(self) -> Config:
        """Give the configuration as it would be with a runner of that name."""
        return parse_config([("distwright.toml", f'{CONFIG}\n[host.{NAME}]\nrole = "runner"\n')])

    def enrol(self) -> None:
        """Let the builder be one, as people do."""
        shop = self.shop
        line = enrol_builder(shop.database, shop.paths, self.config, NAME, shop.database.now())
        self.join(line.text)
        meet(shop.database, shop.objects, shop.paths, self.config, NAME, shop.database.now)

    def join(self, line: str) -> None:
        """Do what distwright builder join does there."""
        program = (
            str(Path(sys.executable).with_name("distwright")),
            "builder",
            "serve",
            "--state",
            str(self.state.root),
        )
        keys = self.home / ".ssh" / "authorized_keys"
        join(self.state, line, [self.folder / "host_key.pub"], program, keys, datetime.now(UTC))
        self.give()

    def give(self) -> None:
        """Make all that is in its home the builder's."""
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", f"{USER}:", str(self.home)], check=True)

    def answers(self, script: str) -> None:
        """Have a Python script answer there, in place of what is ours."""
        place = self.home / "answers.py"
        place.write_text(script)
        keys = self.home / ".ssh" / "authorized_keys"
        key = keys.read_text().rpartition('" ')[2]
        keys.write_text(f'restrict,command="{shlex.join([sys.executable, str(place)])}" {key}')
        self.give()

    def builders(self) -> tuple[Builder, ...]:
        """Give what steps may be carried out on."""
        shop = self.shop
        found = builders_for(shop.database, shop.objects, shop.paths, self.config, "local")
        return tuple(replace(each, silence_s=self.silence_s, slack_s=self.slack_s) for each in found)

    def context(self, job: int = 1, fence: int = 1, *, tried: int = 0) -> JobContext:
        """Give the context of an attempt in this process."""
        context = self.shop.context(job, fence)
        context.builders, context.tried = self.builders(), tried
        return context

    def make_context(self, job: Job, tell: Tell, is_cancelled: IsCancelled) -> JobContext:
        """Give the context of an attempt in a forked process, as a worker wants it."""
        context = self.shop.make_context(job, tell, is_cancelled)
        context.builders, context.tried = self.builders(), job.broken_count
        return context

    def worker(self, *kinds: JobKind, watcher: Onlooker | None = None) -> Worker:
        """Give a worker of this process."""
        return replace(worker_of(self.shop, *kinds, watcher=watcher), make_context=self.make_context)

    def start(self) -> None:
        """Let sshd listen."""
        argv = ["/usr/sbin/sshd", "-D", "-e", "-f", str(self.folder / "sshd_config")]
        with (self.folder / "sshd.log").open("ab") as log:
            self.sshd = subprocess.Popen(
                [*begun_as(self.folder, self.home, first_id=_FIRST_ID), *argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        scan = ["ssh-keyscan", "-T", "1", "-p", str(self.port), "127.0.0.1"]
        wait_until(lambda: subprocess.run(scan, capture_output=True, check=False).stdout, "sshd answers")

    def stop(self) -> None:
        """End it, and what it started for connections."""
        if self.sshd is not None:
            self.sshd.terminate()
            self.sshd.wait(20)
            self.sshd = None

    def files(self) -> Iterator[Path]:
        """Give all files that the builder has."""
        yield from (path for path in self.home.rglob("*") if path.is_file() and not path.is_symlink())


@contextmanager
def yard(shop: Workshop, folder: Path, *, slots: int = 1) -> Iterator[Yard]:
    """Give a server with an enrolled builder, until the block ends. folder: one that other users can reach."""
    made = Yard(shop, folder, slots)
    folder.mkdir(exist_ok=True)
    made.home.mkdir()
    made.give()
    host_key(folder)
    settings = _SSHD.format(port=made.port, folder=folder, home=made.home, source=ROOT / "src")
    (folder / "sshd_config").write_text(without_penalties(settings))
    made.start()
    try:
        made.enrol()
        yield made
    finally:
        made.stop()


@contextmanager
def lone_yard() -> Iterator[Yard]:
    """Give one with an installation of its own, in a folder that goes with it."""
    with state_folder() as folder:
        shop = workshop(folder / "home", sandbox_for(os.geteuid()))
        with yard(shop, folder / "far") as made:
            yield made
        shop.database.close()
