"""The bills of materials of an image: what its manifest names and is installed, with what the copyright files say."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from distwright.formats.sbom import Bill, Component, cyclonedx, licence_facts, spdx
from distwright.jobs.step import Inputs
from distwright.model import plain
from distwright.model.digests import Sha256, sha256_of

Licences = Mapping[str, tuple[str, ...] | None]


def bills(inputs: Inputs, manifest: bytes, components: list[Component]) -> dict[str, bytes]:
    """Give `cdx`, `spdx` and `licences`; they follow from the order and the manifest, and have the time of the image."""
    image = plain.text(inputs, "name")
    bill = Bill(
        image,
        plain.text(inputs, "version"),
        sha256_of(manifest),
        datetime.fromtimestamp(plain.number(inputs, "epoch"), UTC),
        url_below(inputs, f"images/{image}/sbom"),
        components,
    )
    return {"cdx": cyclonedx(bill), "spdx": spdx(bill), "licences": licence_facts(components)}


def components_of(inputs: Inputs, packages: Iterable[plain.Plain], licences: Licences) -> list[Component]:
    """Give packages of a manifest as components. licences: of copyright files; None or no entry if nothing can be read."""
    vendors = plain.text_map(inputs, "vendors")
    return [_component(package, vendors, licences) for package in packages]


def packages_of(manifest: plain.Plain) -> list[plain.Plain]:
    """Give all packages of a manifest, those too that a hook has removed again."""
    return [package for package in plain.members(manifest, "packages") if isinstance(package, Mapping)]


def installed_packages(manifest: plain.Plain) -> list[plain.Plain]:
    """Give the packages of a manifest whose files are in the root."""
    return [package for package in packages_of(manifest) if package["installed"]]


def url_below(inputs: Inputs, path: str) -> str:
    """Name something of this installation: below the site's URL, or as a URN where the site has none."""
    url = plain.text(inputs, "url")
    return f"{url}/{path}" if url else f"urn:distwright:{path.replace('/', ':')}"


def _component(package: plain.Plain, vendors: Mapping[str, str], licences: Licences) -> Component:
    """Give a component. Of several places that had the file the first in order of name counts: the bytes are the same."""
    name = plain.text(package, "name")
    archive, _, path = plain.texts(package, "from")[0].partition("/")
    return Component(
        name,
        plain.text(package, "version"),
        plain.text(package, "architecture"),
        plain.text(package, "source"),
        plain.text(package, "source_version"),
        Sha256(plain.text(package, "sha256")),
        vendors.get(archive, archive),
        path[path.find("/pool/") + 1 :],
        licences.get(name),
    )
