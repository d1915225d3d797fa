"""A real sshd on loopback that lets one user in, who is another system user of this machine if we are root, with a home of his own.

As root, sshd sees another /etc/passwd, and other subordinate ids, in a mount namespace. Either way it is not root, so it lets in
nobody else.
"""

import os
import pwd
import subprocess
from collections.abc import Sequence
from pathlib import Path

BORROWED = "games"  # a system user that each Debian has


def user_of_sshd() -> str:
    """Name the user whom sshd lets in."""
    return BORROWED if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def host_key(folder: Path) -> None:
    """Make the host key, `folder`/host_key."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "host_key")], check=True)


def without_penalties(settings: str) -> str:
    """Let who is refused try again at once: all are one address here. sshd has penalties from 9.8 on."""
    has_them = b"persourcepenalties" in Path("/usr/sbin/sshd").read_bytes()
    return f"{settings}PerSourcePenalties no\n" if has_them else settings


def begun_as(folder: Path, home: Path, *, first_id: int | None = None) -> Sequence[str]:
    """Say what stands before sshd, which ends with who started it. first_id: of the user's 65536 subordinate ids, if he has some.

    folder: with the host key; what the user is called is written there.
    """
    ending = ["setpriv", "--pdeathsig", "TERM"]
    if os.geteuid() != 0:
        return [*ending, "--"]
    user = user_of_sshd()
    entry = pwd.getpwnam(user)
    os.chown(folder / "host_key", entry.pw_uid, entry.pw_gid)
    lines = Path("/etc/passwd").read_text().splitlines()
    line = f"{user}:x:{entry.pw_uid}:{entry.pw_gid}::{home}:/bin/sh"
    (folder / "passwd").write_text("\n".join([*(line if one.startswith(f"{user}:") else one for one in lines), ""]))
    places = [("passwd", "passwd")]
    if first_id is not None:
        (folder / "subid").write_text(f"{user}:{first_id}:65536\n")
        places += [("subid", "subuid"), ("subid", "subgid")]
    mounts = [f'mount --bind "$1/{source}" /etc/{place}' for source, place in places]
    script = " && ".join([*mounts, "shift", 'exec "$@"'])
    become = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--pdeathsig", "TERM", "--"]
    return [*ending, "--", "unshare", "--mount", "--", "sh", "-c", script, "sh", str(folder), *become]
