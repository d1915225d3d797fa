"""The manifest: every package file that went into an image, exactly, and nothing that cannot be accounted for."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from distwright.errors import BadInput, WorkFailed, listed, quoted
from distwright.formats.deb import read_deb
from distwright.formats.deb822 import Stanza
from distwright.formats.values import comma_list
from distwright.jobs.step import Fetched
from distwright.model import plain
from distwright.model.digests import Json, Sha256, canonical_json
from distwright.store.objects import ObjectStore

MANIFEST_FORMAT = 1
NO_MORE: plain.Plain = MappingProxyType({})
# What dpkg-query shows: with each package's files in the root, or not.
_ABSENT = ("not-installed", "config-files")


@dataclass(frozen=True, slots=True, order=True)
class InstalledPackage:
    """A package whose files are in the root, as its dpkg knows it."""

    name: str
    version: str
    architecture: str


def parse_installed(listing: bytes) -> frozenset[InstalledPackage]:
    """Read lines of name, version, architecture and state, parted by tabs (dpkg-query); raise BadInput."""
    found = set()
    for line in listing.decode(errors="replace").splitlines():
        parts = line.split("\t")
        if len(parts) != 4:
            raise BadInput(f"{quoted(line)} is no line of dpkg-query", hint="distwright job log JOB")
        if parts[3] not in _ABSENT:
            found.add(InstalledPackage(*parts[:3]))
    return frozenset(found)


def manifest_of(
    name: str,
    fetched: Sequence[Fetched],
    installed: frozenset[InstalledPackage],
    states: Mapping[str, Mapping[str, Json]],
    objects: ObjectStore,
    mentioned: Collection[str] = (),
    *,
    with_built_using: bool = False,
) -> bytes:
    """Give the manifest as canonical JSON.

    fetched: what the root was given. installed: what is in it. states: which snapshot or revision each archive had, by what it was
    for. mentioned: names that the recipe speaks of; those of packages that went in are left out. with_built_using: the sources too
    that packages name in Built-Using and Static-Built-Using. Reads each package's own control file, so a wrong index cannot lie.
    Raises BadInput if a file is not a package, and WorkFailed if the root holds a package that came in none of the files.
    """
    packages = _packages(name, fetched, installed, objects, with_built_using=with_built_using)
    return _manifest(name, packages, installed, states, mentioned)


def layered_manifest(
    name: str,
    base: plain.Plain,
    fetched: Sequence[Fetched],
    installed: frozenset[InstalledPackage],
    states: Mapping[str, Mapping[str, Json]],
    objects: ObjectStore,
    mentioned: Collection[str] = (),
) -> bytes:
    """Give the manifest of a layer: that of its base, in which other files stand for packages of some names.

    base: its manifest. fetched: files of the layer. Says on which image it lies, else what `manifest_of` says of a full build.
    """
    new = _packages(name, fetched, installed, objects, with_built_using=True)
    named = {package["name"] for package in new}
    kept = [
        dict(row) for row in plain.members(base, "packages") if isinstance(row, Mapping) and row["name"] not in named
    ]
    for row in kept:
        row["installed"] = _package(row) in installed
    return _manifest(name, [*kept, *new], installed, states, mentioned, more={"layer_on": plain.text(base, "image")})


def _packages(
    name: str,
    fetched: Sequence[Fetched],
    installed: frozenset[InstalledPackage],
    objects: ObjectStore,
    *,
    with_built_using: bool,
) -> list[dict[str, Json]]:
    packages: list[dict[str, Json]] = []
    by_digest: dict[Sha256, list[Fetched]] = {}
    for file in fetched:
        by_digest.setdefault(file.sha256, []).append(file)
    for digest, files in by_digest.items():
        if not files[0].path.endswith(".deb"):
            raise BadInput(
                f"{files[0].path} went into {name} and is not a package", hint="report this as a bug of distwright"
            )
        with objects.open(digest) as opened:
            control = read_deb(opened).control
        source, _, version = control.get("Source", control["Package"]).partition(" ")
        package = InstalledPackage(control["Package"], control["Version"], control["Architecture"])
        packages.append(
            {
                "name": package.name,
                "version": package.version,
                "architecture": package.architecture,
                "source": source,
                "source_version": version.strip("()") or control["Version"],
                "sha256": str(digest),
                "size_bytes": files[0].size_bytes,
                "from": sorted(f"{file.archive}/{file.suite}/{file.path}" for file in files),
                "installed": package in installed,
                **(_built_using(control) if with_built_using else {}),
            }
        )
    return packages


def _package(row: plain.Plain) -> InstalledPackage:
    return InstalledPackage(plain.text(row, "name"), plain.text(row, "version"), plain.text(row, "architecture"))


def _manifest(
    name: str,
    packages: list[dict[str, Json]],
    installed: frozenset[InstalledPackage],
    states: Mapping[str, Mapping[str, Json]],
    mentioned: Collection[str],
    *,
    more: plain.Plain = NO_MORE,
) -> bytes:
    given = {_package(row) for row in packages}
    _refuse_strangers(name, installed - given)
    packages.sort(key=lambda package: (str(package["name"]), str(package["version"]), str(package["architecture"])))
    only: list[Json] = [*sorted(set(mentioned) - {package.name for package in given})]
    said: dict[str, Json] = {
        "format": MANIFEST_FORMAT,
        "image": name,
        **states,
        "packages": [*packages],
        "mentioned": only,
    }
    return canonical_json({**said, **more})


def package_list(manifest: Mapping[str, Json]) -> bytes:
    """Give the short form for people: name, tab, version of what is installed."""
    packages = [member for member in plain.members(manifest, "packages") if isinstance(member, Mapping)]
    return "".join(
        f"{package['name']}\t{package['version']}\n" for package in packages if package["installed"]
    ).encode()


def _built_using(control: Stanza) -> dict[str, Json]:
    """Give the sources that are in a package without being its own (Policy 7.8), as `name version`; nothing if there are none."""
    named = [text for field in ("Built-Using", "Static-Built-Using") for text in comma_list(control.get(field, ""))]
    parts = [
        (name, rest.strip(" ()").removeprefix("=").strip()) for name, _, rest in (text.partition(" ") for text in named)
    ]
    return {"built_using": [*sorted({f"{name} {version}" for name, version in parts})]} if parts else {}


def _refuse_strangers(name: str, strangers: frozenset[InstalledPackage]) -> None:
    if not strangers:
        return
    shown = listed(f"{package.name} {package.version} {package.architecture}" for package in sorted(strangers))
    raise WorkFailed(
        f"{name} holds packages that came from no archive of its recipe:\n{shown}",
        hint="publish what a hook or includes.chroot/ brings along in a suite that the image is made from",
    )
