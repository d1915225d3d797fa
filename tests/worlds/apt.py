"""A real apt with everything private: lists, cache, sources and keys below one folder; the host's are neither read nor written."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.worlds.packages import MadeDeb

_CONF = """\
Dir "{folder}";
Dir::State "state";
Dir::State::status "{folder}/state/status";
Dir::Cache "cache";
Dir::Etc "etc";
Dir::Etc::trusted "none";
Dir::Etc::trustedparts "none";
Dir::Log "log";
Dir::Bin::methods "/usr/lib/apt/methods";
APT::Architecture "amd64";
APT::Architectures "amd64";
APT::Sandbox::User "{user}";
Acquire::Languages "none";
Acquire::Retries "0";
Acquire::http::Proxy "DIRECT";
Acquire::AllowInsecureRepositories "false";
"""


_COMPLAINTS = ("W:", "E:", "N:", "Warning:", "Error:", "Notice:")


@dataclass(frozen=True)
class Ran:
    """What a command printed. complaints: its lines that warn or fail, without what names a place."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def complaints(self) -> list[str]:
        """Give the lines that begin with W:, E: or N:, which apt 3 spells out."""
        return [line for line in self.stderr.splitlines() if line.startswith(_COMPLAINTS)]


@dataclass(frozen=True)
class Apt:
    """An apt that knows one suite of one archive and one key. inside: what begins a program elsewhere, where `folder` is /mnt."""

    folder: Path
    inside: tuple[str, ...] = ()

    def run(self, *argv: str) -> Ran:
        """Run apt-get, apt-cache or another program of apt."""
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C.UTF-8",
            "APT_CONFIG": f"{_seen(self.folder, self.inside)}/apt.conf",
        }
        ran = subprocess.run(
            (*self.inside, *argv),
            env=environment,
            cwd=self.folder / "here",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    def configure(self, text: str) -> None:
        """Add lines to its configuration."""
        with (self.folder / "apt.conf").open("a") as file:
            file.write(text + "\n")

    def install(self, *debs: MadeDeb) -> None:
        """Let its dpkg believe that these packages, and no others, are installed."""
        stanzas = [deb.control.replace("\n", "\nStatus: install ok installed\n", 1) for deb in debs]
        (self.folder / "state" / "status").write_text("\n".join(stanzas))

    def plan(self, *words: str) -> list[str]:
        """List what an apt-get command would install, in the order of names: "name [from] (to …" as apt says it."""
        shown = self.run("apt-get", "--simulate", *words).stdout
        return sorted(line.removeprefix("Inst ") for line in shown.splitlines() if line.startswith("Inst "))

    def lists(self) -> dict[str, bytes]:
        """Give the indexes that it has, by name."""
        places = (self.folder / "state" / "lists").iterdir()
        return {place.name: place.read_bytes() for place in sorted(places) if place.is_file() and place.name != "lock"}

    def update(self) -> Ran:
        """Read the indexes; any error counts."""
        return self.run("apt-get", "--error-on=any", "update")

    def candidates(self) -> list[str]:
        """List name and version of everything that could be installed, sorted."""
        shown = self.run("apt-cache", "dumpavail").stdout
        stanzas = [dict(line.split(": ", 1) for line in stanza.splitlines() if not line.startswith(" "))
                   for stanza in shown.split("\n\n") if stanza.strip()]  # fmt: skip
        return sorted(f"{stanza['Package']} {stanza['Version']}" for stanza in stanzas)

    def download(self, *names: str) -> Ran:
        """Download packages into `here`."""
        return self.run("apt-get", "download", *names)

    def here(self) -> dict[str, bytes]:
        """Give what was downloaded."""
        return {path.name: path.read_bytes() for path in sorted((self.folder / "here").iterdir())}


def make_apt(
    folder: Path,
    url: str,
    certificate: bytes,
    *,
    suite: str = "devel",
    sources: bool = True,
    inside: tuple[str, ...] = (),
) -> Apt:
    """Make an apt that knows `url` and trusts one certificate."""
    seen = _seen(folder, inside)
    for name in ("state/lists/partial", "cache/archives/partial", "etc/apt.conf.d", "etc/preferences.d", "log", "here"):
        (folder / name).mkdir(parents=True)
    (folder / "state" / "status").write_text("")
    (folder / "key.asc").write_bytes(certificate)
    user = "root" if os.geteuid() == 0 else ""
    (folder / "apt.conf").write_text(_CONF.format(folder=seen, user=user))
    kinds = ("deb", "deb-src") if sources else ("deb",)
    lines = [f"{kind} [signed-by={seen}/key.asc] {url} {suite} main\n" for kind in kinds]
    (folder / "etc" / "sources.list").write_text("".join(lines))
    return Apt(folder, inside)


def make_apt_of(folder: Path, sources: str) -> Apt:
    """Make an apt that knows nothing but a text of .sources."""
    apt = make_apt(folder, "copy:/nowhere", b"")
    (folder / "etc" / "sources.list").unlink()
    (folder / "etc" / "sources.list.d").mkdir()
    (folder / "etc" / "sources.list.d" / "petrel.sources").write_text(sources)
    return apt


def _seen(folder: Path, inside: tuple[str, ...]) -> str:
    return "/mnt" if inside else str(folder)
