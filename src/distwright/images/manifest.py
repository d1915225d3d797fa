"""The manifest: every package file that went into an image, exactly, and nothing that cannot be accounted for."""

from collections.abc import Mapping, Sequence

from distwright.errors import BadInput
from distwright.formats.deb import read_deb
from distwright.jobs.step import Fetched
from distwright.model import plain
from distwright.model.digests import Json, Sha256, canonical_json
from distwright.store.objects import ObjectStore

MANIFEST_FORMAT = 1


def manifest_of(name: str, fetched: Sequence[Fetched], states: Mapping[str, Json], objects: ObjectStore) -> bytes:
    """Give the manifest as canonical JSON.

    fetched: what the root was made of. states: which snapshot or revision each archive had. Reads each package's own control
    file, so a wrong index cannot lie. Raises BadInput if a file is not a package.
    """
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
        packages.append(
            {
                "name": control["Package"],
                "version": control["Version"],
                "architecture": control["Architecture"],
                "source": source,
                "source_version": version.strip("()") or control["Version"],
                "sha256": str(digest),
                "size_bytes": files[0].size_bytes,
                "from": sorted(f"{file.archive}/{file.suite}/{file.path}" for file in files),
            }
        )
    packages.sort(key=lambda package: (str(package["name"]), str(package["version"]), str(package["architecture"])))
    return canonical_json({"format": MANIFEST_FORMAT, "image": name, "states": states, "packages": packages})


def package_list(manifest: Mapping[str, Json]) -> bytes:
    """Give the short form for people: name, tab, version."""
    packages = [member for member in plain.members(manifest, "packages") if isinstance(member, Mapping)]
    return "".join(f"{package['name']}\t{package['version']}\n" for package in packages).encode()
