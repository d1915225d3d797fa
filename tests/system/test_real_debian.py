"""Debian itself, recorded and frozen: other people's programs bootstrap and mirror from it as from any mirror of Debian."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.system.line import Line, keep_in_cache, state_folder

pytestmark = [pytest.mark.system, pytest.mark.full]

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
CONFIG = f"""\
format = 1
[site]
name = "Petrel"
[archive.debian]
kind = "upstream"
suites = ["bookworm"]
keyring = "{KEYRING}"
origin = "Debian"
label = "Debian"
all_forms = true
"""
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


@dataclass(frozen=True)
class Frozen:
    """A served snapshot."""

    url: str
    folder: Path

    def run(self, *argv: str) -> str:
        """Run a program to its end; neither may it fail nor complain."""
        environment = {**ENVIRONMENT, "HOME": str(self.folder)}
        ran = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=900, check=False)
        said = ran.stdout + ran.stderr
        assert ran.returncode == 0, said[-3000:]
        said = re.sub(
            r"Warning: --rsync-extra .*\n.*\n", "", said
        )  # debmirror's, however it is told that there is none
        assert not re.findall(r"^(?:[WE]:|warning|error).*", said, re.MULTILINE | re.IGNORECASE), said[-3000:]
        return said


@pytest.fixture(scope="module")
def debian() -> Iterator[Frozen]:
    """Record Debian 12 as it is now, and serve that serial."""
    with state_folder() as folder:
        (folder / "distwright.toml").write_text(CONFIG)
        line = Line(folder / "state")
        for words in (("config", "init", str(folder)), ("archive", "record", "debian")):
            done = line.call(*words, "--state", str(line.state), timeout_s=600)
            assert done.returncode == 0, done.stderr
        [row] = line.answer("snapshot", "list", "debian")
        with line.serving() as url:
            yield Frozen(f"{url}/debian/{row['serial']}", folder)
        keep_in_cache(line.state)


def test_debootstrap_makes_a_minimal_system(debian: Frozen) -> None:
    """As root a whole one; a plain user can only have its packages."""
    root = debian.folder / "root"
    how = () if os.geteuid() == 0 else ("--download-only",)
    debian.run("debootstrap", *how, "--variant=minbase", f"--keyring={KEYRING}", "bookworm", str(root), debian.url)
    if os.geteuid() == 0:
        assert (root / "etc" / "debian_version").read_text().startswith("12")
        assert "ii  apt " in debian.run("chroot", str(root), "dpkg", "--list", "apt")
    else:
        assert list((root / "var" / "cache" / "apt" / "archives").glob("apt_*.deb"))


def test_aptly_mirrors_a_part_of_it(debian: Frozen) -> None:
    config = debian.folder / "aptly.conf"
    config.write_text(json.dumps({"rootDir": str(debian.folder / "aptly"), "architectures": ["amd64"]}))
    run, keyring = ("aptly", f"-config={config}"), f"-keyring={KEYRING}"
    debian.run(*run, "mirror", "create", keyring, "-filter=hello", "debian", debian.url, "bookworm", "main")
    debian.run(*run, "mirror", "update", keyring, "debian")
    assert "hello_2.10-3_amd64" in debian.run(*run, "mirror", "show", "-with-packages", "debian")


def test_debmirror_mirrors_a_part_of_it(debian: Frozen) -> None:
    where = urlsplit(debian.url)
    mirror = debian.folder / "mirror"
    said = debian.run(
        "debmirror", "--method=http", f"--host={where.netloc}", f"--root={where.path.lstrip('/')}", "--dist=bookworm",
        "--section=main", "--arch=amd64", "--exclude=.*", "--include=/hello/", "--diff=none", "--checksums", "--rsync-extra=none",
        f"--keyring={KEYRING}", str(mirror),
    )  # fmt: skip
    assert "rror" not in said
    assert {path.name for path in mirror.rglob("*.deb")} >= {"hello_2.10-3_amd64.deb"}


def test_reprepro_updates_a_part_from_it(debian: Frozen) -> None:
    base, home = debian.folder / "reprepro", debian.folder / "gnupg"
    home.mkdir(mode=0o700)
    subprocess.run(["gpg", "--homedir", str(home), "--batch", "--quiet", "--import", KEYRING], check=True)
    (base / "conf").mkdir(parents=True)
    (base / "conf" / "distributions").write_text(
        "Codename: ours\nArchitectures: amd64 source\nComponents: main\nUpdate: debian\n"
    )
    (base / "conf" / "updates").write_text(
        f"Name: debian\nMethod: {debian.url}\nSuite: bookworm\nComponents: main\nArchitectures: amd64 source\n"
        "VerifyRelease: 6ED0E7B82643E131|78DBA3BC47EF2265\nFilterSrcList: purge chosen\nFilterFormula: Package (== hello)\n"
    )
    (base / "conf" / "chosen").write_text("hello install\n")
    debian.run("reprepro", "--basedir", str(base), "--gnupghome", str(home), "update", "ours")
    assert "ours|main|amd64: hello 2.10-3" in debian.run("reprepro", "--basedir", str(base), "list", "ours")
