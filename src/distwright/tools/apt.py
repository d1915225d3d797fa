"""apt: where this machine's fetches from, and one with everything private, which says what a package needs."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from distwright.errors import OutOfSpace
from distwright.tools.run import Command, run, run_checked

_FORMAT = "$(SITE)\t$(RELEASE)\t$(COMPONENT)\t$(ORIGIN)\t$(LABEL)"


@dataclass(frozen=True, slots=True)
class AptSource:
    """One suite and component that this machine's apt knows, with what its Release says."""

    url: str
    suite: str
    component: str
    origin: str
    label: str


def configured_sources() -> list[AptSource]:
    """List this machine's apt sources; origin and label are empty before the first `apt-get update`."""
    argv = ("apt-get", "indextargets", "--format", _FORMAT, "Created-By: Packages")
    rows = [line.split("\t") for line in run_checked(argv).decode(errors="replace").splitlines()]
    return [AptSource(*row) for row in dict.fromkeys(tuple(row) for row in rows if len(row) == 5)]


def configured_proxy() -> str | None:
    """Give the HTTP proxy that apt uses for everything, if any."""
    argv = ("apt-config", "shell", "proxy", "Acquire::http::Proxy")
    text = run(Command(argv, timeout_s=30)).stdout.decode(errors="replace").strip()
    value = text.partition("=")[2].strip("'")
    return value if value and value != "DIRECT" else None


_PRIVATE = """\
Dir "{folder}";
Dir::State "state";
Dir::State::status "{folder}/state/status";
Dir::Cache "cache";
Dir::Etc "etc";
Dir::Etc::trusted "none";
Dir::Etc::trustedparts "none";
Dir::Log "log";
Dir::Bin::methods "/usr/lib/apt/methods";
APT::Architecture "{architecture}";
APT::Architectures "{architecture}";
APT::Sandbox::User "{user}";
APT::Install-Recommends "{recommends}";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
Acquire::Check-Date "false";
"""
_FOLDERS = ("state/lists/partial", "cache/archives/partial", "etc/apt.conf.d", "etc/preferences.d", "log")
_TIMEOUT_S = 900.0


@dataclass(frozen=True, slots=True)
class PrivateApt:
    """An apt of an empty system, below a folder of its own; the machine's is neither read nor written."""

    folder: Path
    is_cancelled: Callable[[], bool]

    def update(self) -> None:
        """Read the indexes; raise ProgramFailed, OutOfSpace, Interrupted."""
        self._run("apt-get", "-q", "--error-on=any", "update")

    def needed(self, names: Sequence[str]) -> tuple[str, ...]:
        """Give the paths of the URIs that apt would fetch to install packages together; raise ProgramFailed if it cannot."""
        shown = self._run("apt-get", "-qq", "--yes", "--print-uris", "install", "--", *names)
        uris = [line.split("'")[1] for line in shown.splitlines() if line.startswith("'")]
        return tuple(unquote(urlsplit(uri).path) for uri in uris)

    def _run(self, *argv: str) -> str:
        environment = {"APT_CONFIG": str(self.folder / "apt.conf")}
        ended = run(Command(argv, _TIMEOUT_S, environment=environment), is_cancelled=self.is_cancelled)
        if ended.exit_code and b"No space left on device" in ended.stderr:  # our own trouble, not that of the packages
            raise OutOfSpace(
                f"no space left below {self.folder.parent}", hint=f"free some space (df -h {self.folder.parent})"
            )
        return ended.checked().stdout.decode(errors="replace")


def make_private_apt(
    folder: Path, sources: Sequence[str], *, architecture: str, recommends: bool, is_cancelled: Callable[[], bool]
) -> PrivateApt:
    """Make one. sources: lines of a sources.list; what they name is believed, so say there what was verified."""
    for name in _FOLDERS:
        (folder / name).mkdir(parents=True)
    (folder / "state" / "status").touch()
    values = {
        "folder": folder,
        "architecture": architecture,
        "user": "root" if os.geteuid() == 0 else "",
        "recommends": "true" if recommends else "false",
    }
    (folder / "apt.conf").write_text(_PRIVATE.format(**values), encoding="utf-8")
    (folder / "etc" / "sources.list").write_text("".join(f"{line}\n" for line in sources), encoding="utf-8")
    return PrivateApt(folder, is_cancelled)
