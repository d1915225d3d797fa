"""Which programs of Debian distwright needs, and which are missing here."""

import shutil
from collections.abc import Mapping
from pathlib import Path

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

# program or file -> Debian package; `setup/packages.txt` in the repository lists the same packages for apt.
PROGRAMS: Mapping[str, str] = {
    "sbuild": "sbuild",
    "mmdebstrap": "mmdebstrap",
    "newuidmap": "uidmap",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "prlimit": "util-linux",
    "choom": "util-linux",
    "qemu-system-x86_64": "qemu-system-x86",
    "git": "git",
    "dpkg-query": "dpkg",
    "apt-get": "apt",
    "gpgv": "gpgv",
}
FILES: Mapping[str, str] = {
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
    "/usr/share/mmdebstrap/hooks/merged-usr": "mmdebstrap",
}

TO_BEGIN = ("python3", "python3-venv")  # what makes the virtual environment, before anything here can run


def missing_programs() -> dict[str, str]:
    """Give program or file -> Debian package for everything that is missing."""
    programs = {name: package for name, package in PROGRAMS.items() if shutil.which(name, path=PATH) is None}
    return programs | {name: package for name, package in FILES.items() if not Path(name).exists()}
