"""One installation with everything that other people's programs read: live suites, frozen and tagged snapshots, ours and recorded.

    with published() as world:
        world.targets["own frozen"].url

Its own archive is `petrel` with the suite devel; the recorded one is `debian` with the suite stable, of a small upstream.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.system.line import state_folder
from tests.worlds.archive import DATE, DAY, MadeDeb, MadeSource, Upstream, make_deb, make_source, signer
from tests.worlds.commands import CommandLine, command_line
from tests.worlds.keys import key_file
from tests.worlds.servers import DISTWRIGHT, free_port, nginx, our_server

from distwright.model.digests import Json, canonical_json

TAG = "1.0~rc1+b2"
REQUIRED = {"Priority": "required", "Essential": "yes"}
# What Debian's Release names besides lists of packages. Only the first two are recorded.
OTHERS = {
    "main/binary-amd64/Release": b"Archive: stable\nComponent: main\nArchitecture: amd64\n",
    "main/source/Release": b"Archive: stable\nComponent: main\nArchitecture: source\n",
    "main/binary-amd64/Packages.diff/Index": b"SHA256-Current: 00 0\nSHA256-History:\nSHA256-Patches:\n",
    "main/dep11/Components-amd64.yml": b"---\nFile: DEP-11\n",
}
CONFIG = """\
format = 1
[site]
name = "Petrel"
[archive.petrel]
kind = "own"
origin = "Petrel"
label = "Petrel"
live_url = "{url}/petrel"
components = ["main", "contrib"]
key = {{ credential = "petrel" }}
contents = true
pdiffs = true
[archive.debian]
kind = "upstream"
suites = ["stable"]
keyring = "{folder}/upstream.asc"
origin = "Debian"
label = "Debian"
fetch_from = "file://{folder}/upstream"
key = {{ credential = "mirror" }}
all_forms = true
[suite.devel]
archive = "petrel"
"""


@dataclass(frozen=True)
class Target:
    """What a client reads. keyring: OpenPGP packets, as gpgv wants them; certificate: the same, armoured.

    binaries, sources: name -> version.
    """

    name: str
    url: str
    suite: str
    certificate: bytes
    keyring: Path
    binaries: Mapping[str, str]
    sources: Mapping[str, str]

    @property
    def listed(self) -> list[str]:
        """Name and version of each binary package, sorted."""
        return sorted(f"{name} {version}" for name, version in self.binaries.items())

    def at(self, url: str, server: str) -> "Target":
        """Give the same, served elsewhere."""
        return Target(
            f"{self.name} at {server}", url, self.suite, self.certificate, self.keyring, self.binaries, self.sources
        )


@dataclass(frozen=True)
class Published:
    """The installation. targets: by name; nginx serves those that are plain trees under `… at nginx` too."""

    line: CommandLine
    folder: Path
    url: str
    targets: Mapping[str, Target]
    serials: Mapping[str, str]
    upstream: Upstream

    @property
    def public(self) -> Path:
        """The plain tree."""
        return self.line.state / "public"


def packages(version: str) -> list[MadeDeb | MadeSource]:
    """Give the packages of a state: hello in a version, what it needs, and one that nothing needs."""
    return [
        make_deb("hello", version, depends="libhello", fields=REQUIRED),
        make_deb("libhello", version, source="hello", fields=REQUIRED),
        make_deb("world", "1.0", architecture="all"),
        make_source("hello", version, binaries=("hello", "libhello")),
        make_source("world", "1.0"),
    ]


@contextmanager
def published() -> Iterator[Published]:
    """Make it, and serve it with our server and with nginx."""
    with state_folder() as folder, ExitStack() as stack:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        (folder / "upstream.asc").write_bytes(signer("upstream").certificate())
        line = command_line(folder, CONFIG.format(url=url, folder=folder), ())
        for credential in ("petrel", "mirror"):
            key = line.state / "keys" / f"{credential}.pgp"
            key.write_bytes(key_file(credential))
            key.chmod(0o600)
        upstream = Upstream()
        serials = {"petrel": _fill_own(line), "debian": _record(line, upstream)}
        stack.enter_context(our_server(line.state, port))
        plain = stack.enter_context(nginx(line.state / "public", folder / "nginx"))
        yield Published(line, folder, url, _targets(folder, url, plain, serials), serials, upstream)


def tag_manifest(line: CommandLine, place: str, version: str, states: Mapping[str, str]) -> Path:
    """Write the manifest of an image that has hello and its library from one suite."""
    found: list[Json] = [
        {
            "name": deb.name, "version": deb.version, "architecture": deb.architecture, "source": deb.source,
            "source_version": deb.version, "sha256": deb.sha256, "size_bytes": len(deb.content), "installed": True,
            "from": [f"{place}/{deb.pool_path()}"],
        }
        for deb in packages(version) if isinstance(deb, MadeDeb) and deb.source == "hello"
    ]  # fmt: skip
    path = line.state.parent / f"{place.replace('/', '-')}.manifest.json"
    path.write_bytes(canonical_json({"format": 1, "image": "petrel", "states": dict(states), "packages": found}))
    return path


def _fill_own(line: CommandLine) -> str:
    """Publish 1.0, freeze it, tag it, and go on to 2.0."""
    _typed(line, "suite", "add", "devel", line.files(*packages("1.0")), "--publish")
    serial = json.loads(_typed(line, "snapshot", "take", "petrel", "--publish", "--json"))["serial"]
    manifest = tag_manifest(line, "petrel/devel", "1.0", {"petrel/devel": line.revision("petrel/devel")})
    _typed(line, "snapshot", "tag", "petrel", TAG, "--manifest", str(manifest))
    _typed(line, "suite", "add", "devel", line.files(*packages("2.0")), "--publish")
    return str(serial)


def record_version(line: CommandLine, upstream: Upstream, number: int, *more: MadeDeb) -> str:
    """Let upstream have hello in version NUMBER.0, and record it; give what was said."""
    upstream.add(*packages(f"{number}.0"), *more)
    upstream.add_indexes("stable", OTHERS)
    upstream.publish(DATE + number * DAY)
    upstream.write(line.state.parent / "upstream")
    # A process of its own: whoever runs a job ends all children that are left, and our servers are children.
    argv = [str(DISTWRIGHT), "archive", "record", "debian", "--state", str(line.state)]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def _record(line: CommandLine, upstream: Upstream) -> str:
    """Record upstream with 1.0, tag that, and record it again with 2.0."""
    for number in (1, 2):
        record_version(line, upstream, number)
        if number == 1:
            [row] = json.loads(_typed(line, "snapshot", "list", "debian", "--json"))
            manifest = tag_manifest(line, "debian/stable", "1.0", {"debian/stable": row["digest"]})
            _typed(line, "snapshot", "tag", "debian", TAG, "--manifest", str(manifest))
            serial = str(row["serial"])
    return serial


def _targets(folder: Path, url: str, plain: str, serials: Mapping[str, str]) -> dict[str, Target]:
    found = []
    for archive, key, suite in (("petrel", "petrel", "devel"), ("debian", "upstream", "stable")):
        word = "own" if archive == "petrel" else "recorded"
        snapshot = f"snapshots/{serials[archive]}" if archive == "petrel" else serials[archive]
        whole = {"hello": "1.0", "libhello": "1.0", "world": "1.0"}
        sources = {"hello": "1.0", "world": "1.0"}
        new = {"hello": "2.0", "libhello": "2.0", "world": "1.0"}
        tagged = {"hello": "1.0", "libhello": "1.0"}
        found += [
            _target(f"{word} live", f"{url}/{archive}", suite, key, folder, (new, {**sources, "hello": "2.0"})),
            _target(f"{word} frozen", f"{url}/{archive}/{snapshot}", suite, key, folder, (whole, sources)),
            _target(f"{word} tagged", f"{url}/{archive}/snapshots/{TAG}", suite, "petrel" if archive == "petrel" else "mirror",
                    folder, (tagged, {"hello": "1.0"})),
        ]  # fmt: skip
    served = {target.name: target for target in found}
    for name in ("own live", "own frozen", "own tagged", "recorded tagged"):  # what is a tree of plain files
        target = served[name].at(served[name].url.replace(url, plain), "nginx")
        served[target.name] = target
    return served


def _target(
    name: str, url: str, suite: str, key: str, folder: Path, has: tuple[Mapping[str, str], Mapping[str, str]]
) -> Target:
    certificate = signer(key).certificate()
    keyring = folder / f"{key}.gpg"
    if not keyring.exists():
        made = subprocess.run(["gpg", "--dearmor"], input=certificate, capture_output=True, check=True)
        keyring.write_bytes(made.stdout)
    return Target(name, url, suite, certificate, keyring, *has)


def _typed(line: CommandLine, *words: str) -> str:
    done = line.run(*words)
    assert done.exit_code == 0, f"{words}: {done.said} {done.text}"
    return done.text
