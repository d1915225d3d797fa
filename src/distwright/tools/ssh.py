"""ssh: the way to a builder. No settings, agents and keys of anybody are used but those that are named here."""

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from distwright.errors import BadInput
from distwright.tools.run import Command, run, run_checked

_ADDRESS = re.compile(r"ssh://([^@]+)@(\[[^\]]+\]|[^:\[\]]+)(?::([0-9]+))?")
_OPTIONS = (
    "BatchMode=yes", "IdentitiesOnly=yes", "IdentityAgent=none", "PreferredAuthentications=publickey", "ForwardAgent=no",
    "ClearAllForwardings=yes", "PermitLocalCommand=no", "ControlMaster=no", "ControlPath=none", "UpdateHostKeys=no",
    "GlobalKnownHostsFile=/dev/null", "HashKnownHosts=no", "VerifyHostKeyDNS=no", "CanonicalizeHostname=no", "LogLevel=ERROR",
    "ConnectTimeout=15", "ServerAliveInterval=15", "ServerAliveCountMax=3", "EscapeChar=none", "RequestTTY=no",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SshPlace:
    """Where somebody's sshd answers, and as whom."""

    user: str
    host: str
    port: int


def ssh_place(address: str) -> SshPlace:
    """Read `ssh://user@host:port`, which the configuration has checked."""
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise BadInput(f"{address!r} is no ssh:// address", hint="write ssh://user@host:port")
    return SshPlace(found[1], found[2].strip("[]"), int(found[3] or 22))


def ssh_argv(place: SshPlace, name: str, key: Path, known_hosts: Path, *, learns: bool = False) -> tuple[str, ...]:
    """Give the words that reach the one command we may start there; ssh ends with whoever started it.

    name: what the machine is called in known_hosts; only the key that stands there is accepted. learns: one that does not stand
    there is written there, for who has another proof.
    """
    strict = "accept-new" if learns else "yes"
    settings = (
        *_OPTIONS, f"StrictHostKeyChecking={strict}", f"UserKnownHostsFile={known_hosts}", f"HostKeyAlias={name}",
    )  # fmt: skip
    options = [word for setting in settings for word in ("-o", setting)]
    where = ("-p", str(place.port), "-l", place.user, "--", place.host)
    return (
        "setpriv",
        "--pdeathsig",
        "KILL",
        "--",
        "ssh",
        "-F",
        "/dev/null",
        "-T",
        "-x",
        "-i",
        str(key),
        *options,
        *where,
    )


def make_ssh_key(place: Path) -> None:
    """Make an Ed25519 key (0600), unless there is one; of two who do it at once, the first one's counts."""
    if place.exists():
        return
    fresh = place.with_name(f".new-{place.name}.{os.getpid()}")
    public = fresh.with_name(f"{fresh.name}.pub")
    try:
        fresh.unlink(missing_ok=True)
        words = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "distwright", "-f", str(fresh))
        run(Command(words, timeout_s=60)).checked()
        with contextlib.suppress(FileExistsError):
            place.hardlink_to(fresh)
    finally:
        fresh.unlink(missing_ok=True)
        public.unlink(missing_ok=True)


def public_ssh_key(place: Path) -> str:
    """Give `type base64` of a key of ours."""
    return " ".join(run_checked(("ssh-keygen", "-y", "-f", str(place))).decode().split()[:2])
