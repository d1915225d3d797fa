"""Other people's programs that read an archive. Each is a function: it reads a target into a folder and says what it got.

The folder is empty, or has what the same program read before; those that bootstrap want it empty.

`complaints` are the lines of its output that tell of a trouble, however small: a reader is content only if there are none.
"""

import json
import os
import re
import subprocess
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from tests.worlds.apt import Apt, make_apt
from tests.worlds.published import Target
from tests.worlds.trixie import apt_3

_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
_TROUBLE = re.compile(
    r"^[WEN]: |\b(?:warn|error|fail|cannot|can't|could not|unable|invalid|missing|mismatch|unexpected|ignor|uninitialized)",
    re.IGNORECASE,
)
# What debootstrap asks for beyond its rights to files: a plain user has it in a namespace, where no device can be made.
_AS_ROOT = () if os.geteuid() == 0 else ("unshare", "--map-root-user", "env", "container=lxc")
_SCRIPT = """\
mirror_style release
download_style apt
finddebs_style from-indices
work_out_debs () { required="$(get_debs Priority: required)"; base=""; }
first_stage_install () { mkdir -p "$TARGET/var/log"; extract $required; }
second_stage_install () { :; }
"""


@dataclass(frozen=True)
class Read:
    """What a reader got: name and version of binary packages and of sources, sorted; and what it complained of."""

    binaries: list[str]
    sources: list[str] | None
    complaints: list[str]


Reader = Callable[[Target, Path], Read]


def read_with_apt(apt: Apt, target: Target) -> Read:
    """Update from nothing; fetch hello with what it needs, and its source."""
    troubles = []
    for ran in (
        apt.update(),
        apt.run("apt-get", "--yes", "--download-only", "install", "hello"),
        apt.run("apt-get", "source", "--download-only", "hello"),
    ):
        troubles += ran.complaints + ([] if ran.exit_code == 0 else [f"E: it ended with {ran.exit_code}"])
    archives = sorted(path.name.split("_")[0] for path in (apt.folder / "cache" / "archives").glob("*.deb"))
    assert sorted(set(archives)) == ["hello", "libhello"] or troubles, archives
    shown = apt.run("apt-cache", "showsrc", *target.sources).stdout
    found = re.findall(r"^Package: (.*)\n(?:.*\n)*?Version: (.*)\n", shown, re.M)
    return Read(apt.candidates(), sorted({f"{name} {version}" for name, version in found}), troubles)


def apt(target: Target, folder: Path) -> Read:
    """The apt of this machine."""
    return read_with_apt(_apt(target, folder / "apt", ()), target)


def _apt(target: Target, folder: Path, inside: tuple[str, ...]) -> Apt:
    if folder.exists():
        return Apt(folder, inside)
    return make_apt(folder, target.url, target.certificate, suite=target.suite, inside=inside)


def apt3(target: Target, folder: Path) -> Read:
    """The apt of Debian 13."""
    made = _apt(target, folder / "apt", apt_3(folder / "apt"))
    assert made.run("apt-get", "--version").stdout.startswith("apt 3.")
    return read_with_apt(made, target)


def debootstrap(target: Target, folder: Path) -> Read:
    """Bootstrap what is required, by a script of its own, as for another distribution."""
    (folder / "script").write_text(_SCRIPT)
    root = folder / "root"
    argv = (
        *_AS_ROOT, "debootstrap", "--arch=amd64", f"--keyring={target.keyring}", target.suite, str(root), target.url,
        str(folder / "script"),
    )  # fmt: skip
    troubles = _troubles(argv, folder)
    has = {path.name: path.read_text() for path in sorted((root / "usr" / "share").glob("*"))}
    return Read([f"{name} {version}" for name, version in has.items()], None, troubles)


def mmdebstrap(target: Target, folder: Path) -> Read:
    """Extract hello and what it needs."""
    source = f"deb [signed-by={target.keyring}] {target.url} {target.suite} main"
    made = folder / "root.tar"
    folders = 'mkdir --parents "$1/dev" "$1/proc" "$1/sys"'  # that every Debian has, and these packages do not bring
    argv = (
        "mmdebstrap", "--variant=extract", f"--setup-hook={folders}", "--include=hello", target.suite, str(made), source,
    )  # fmt: skip
    troubles = [line for line in _troubles(argv, folder) if not line.startswith("I: ")]
    if troubles:
        return Read([], None, troubles)
    with tarfile.open(made) as tar:
        has = {Path(member.name).name: tar.extractfile(member) for member in tar if "/usr/share/" in member.name}
        return Read(
            sorted(f"{name} {file.read().decode()}" for name, file in has.items() if file is not None), None, []
        )


def debmirror(target: Target, folder: Path) -> Read:
    """Mirror everything, sources too."""
    # It would fetch trace files from port 873 of the host, and says so however it is told not to.
    read = _debmirror(target, folder, "--method=http", f"--host={urlsplit(target.url).netloc}", "--rsync-extra=none")
    return replace(read, complaints=[line for line in read.complaints if "--rsync-extra" not in line])


def debmirror_by_rsync(target: Target, folder: Path) -> Read:
    """Mirror everything from an rsync daemon, trace files too."""
    options = f"--rsync-options=-aIL --partial --port={urlsplit(target.url).port}"
    return _debmirror(target, folder, "--method=rsync", "--host=127.0.0.1", options)


def debmirror_talking(target: Target, folder: Path) -> str:
    """Mirror everything, and give all that it says of it."""
    argv = _debmirror_words(
        target, folder, "--method=http", f"--host={urlsplit(target.url).netloc}", "--rsync-extra=none"
    )
    ran = _run((*argv, "--verbose"), folder)
    return f"{ran.stdout}{ran.stderr}"


def _debmirror_words(target: Target, folder: Path, *options: str) -> tuple[str, ...]:
    patches = (
        "none" if target.name.startswith("recorded") else "use"
    )  # patches and AppStream of others are not recorded
    return (
        "debmirror", *options, f"--root={urlsplit(target.url).path.lstrip('/')}", f"--dist={target.suite}", "--section=main",
        "--arch=amd64", "--i18n", "--checksums", f"--keyring={target.keyring}", f"--diff={patches}", "--exclude=/dep11/",
        str(folder / "mirror"),
    )  # fmt: skip


def _debmirror(target: Target, folder: Path, *options: str) -> Read:
    troubles = _troubles(_debmirror_words(target, folder, *options), folder)
    pool = folder / "mirror" / "pool"
    return Read(
        sorted(" ".join(path.stem.split("_")[:2]) for path in pool.rglob("*.deb")),
        sorted(path.stem.replace("_", " ") for path in pool.rglob("*.dsc")),
        troubles,
    )


def aptly(target: Target, folder: Path) -> Read:
    """Make a mirror and update it."""
    config, troubles = folder / "aptly.conf", []
    run, keyring = ("aptly", f"-config={config}"), f"-keyring={target.keyring}"
    if not config.exists():
        config.write_text(json.dumps({"rootDir": str(folder / "aptly"), "architectures": ["amd64"]}))
        create = ("mirror", "create", keyring, "-with-sources", "theirs", target.url, target.suite, "main")
        troubles += _troubles((*run, *create), folder)
    troubles += _troubles((*run, "mirror", "update", keyring, "theirs"), folder)
    shown = _run((*run, "mirror", "show", "-with-packages", "theirs"), folder).stdout
    packages = [line.strip().split("_") for line in shown.partition("Packages:\n")[2].splitlines() if line.strip()]
    return Read(
        sorted(f"{name} {version}" for name, version, kind in packages if kind != "source"),
        sorted(f"{name} {version}" for name, version, kind in packages if kind == "source"),
        troubles,
    )


def reprepro(target: Target, folder: Path) -> Read:
    """Update a distribution from it."""
    home = folder / "gnupg"
    home.mkdir(mode=0o700, exist_ok=True)
    gpg = ("gpg", "--homedir", str(home), "--batch", "--quiet")
    _run((*gpg, "--import", str(target.keyring)), folder)
    listing = _run((*gpg, "--with-colons", "--list-keys"), folder).stdout
    [signing] = re.findall(
        r"^sub:(?:[^:]*:){3}([0-9A-F]{16}):(?:[^:]*:){6}s:", listing, re.M
    )  # it wants the subkey that signs
    conf = folder / "base" / "conf"
    conf.mkdir(parents=True, exist_ok=True)
    (conf / "distributions").write_text(
        "Codename: ours\nArchitectures: amd64 source\nComponents: main\nUpdate: theirs\n"
    )
    whole = "DownloadListsAs: .xz .gz\n" if target.name.startswith("recorded") else ""  # it tries patches first
    (conf / "updates").write_text(
        f"Name: theirs\nMethod: {target.url}\nSuite: {target.suite}\nComponents: main\nArchitectures: amd64 source\n"
        f"VerifyRelease: {signing}\n{whole}"
    )
    run = ("reprepro", "--basedir", str(folder / "base"), "--gnupghome", str(home))
    troubles = _troubles((*run, "update", "ours"), folder)
    shown = [line.split() for line in _run((*run, "list", "ours"), folder).stdout.splitlines()]
    return Read(
        sorted(f"{name} {version}" for place, name, version in shown if "|source:" not in place),
        sorted(f"{name} {version}" for place, name, version in shown if "|source:" in place),
        troubles,
    )


READERS: Mapping[str, Reader] = {
    "apt": apt,
    "apt 3": apt3,
    "debootstrap": debootstrap,
    "mmdebstrap": mmdebstrap,
    "debmirror": debmirror,
    "aptly": aptly,
    "reprepro": reprepro,
}
# What bootstraps takes hello and what it needs; all others take everything.
PARTIAL = frozenset({"debootstrap", "mmdebstrap"})


def _troubles(argv: Sequence[str], folder: Path) -> list[str]:
    ran = _run(argv, folder)
    lines = [*ran.stdout.splitlines(), *ran.stderr.splitlines()]
    return [line for line in lines if _TROUBLE.search(line)] + (
        [] if ran.returncode == 0 else [*lines[-20:], f"exit {ran.returncode}"]
    )


def _run(argv: Sequence[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    environment = {**_ENVIRONMENT, "HOME": str(folder)}
    return subprocess.run(argv, env=environment, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
