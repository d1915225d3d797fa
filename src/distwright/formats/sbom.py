"""Bills of materials of an image, CycloneDX 1.6 and SPDX 2.3, both as JSON: the same facts, the same bytes everywhere.

Written here and not by the libraries of either format: an image is bit-identical wherever it is built, and so its bills must not
change with the version of a library. The tests read them with those libraries.
"""

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from distwright.formats.licences import references, spdx_expression
from distwright.model.digests import Json, Sha256, canonical_json

_TOOL = "distwright"
_UNSAID = "NOASSERTION"
_NOT_OF_AN_ID = re.compile(r"[^A-Za-z0-9.-]")


@dataclass(frozen=True, slots=True)
class Component:
    """A package that is in an image. vendor: whose archive it came from, in lower case ("debian").

    licences: short names of its copyright file; None if that is no machine-readable one. path: of its file in its archive.
    """

    name: str
    version: str
    architecture: str
    source: str
    source_version: str
    sha256: Sha256
    vendor: str
    path: str
    licences: tuple[str, ...] | None

    @property
    def purl(self) -> str:
        """Its package URL, https://github.com/package-url/purl-spec."""
        upstream = quote(f"{self.source}@{self.source_version}", safe="")
        where = f"pkg:deb/{quote(self.vendor, safe='')}/{quote(self.name, safe='')}@{quote(self.version, safe='')}"
        return f"{where}?arch={quote(self.architecture, safe='')}&upstream={upstream}"

    @property
    def licence(self) -> str:
        """All that its copyright file names, as one SPDX expression; "" if nothing is known."""
        found = sorted({spdx_expression(name) for name in self.licences or ()})
        return " AND ".join(one if " " not in one or len(found) == 1 else f"({one})" for one in found)


@dataclass(frozen=True, slots=True)
class Bill:
    """What a bill is of. identity: digest of the manifest behind it; at: the time of the image, which is not when it was built.

    namespace: a URL below which the SPDX document has its name.
    """

    image: str
    version: str
    identity: Sha256
    at: datetime
    namespace: str
    components: Sequence[Component]


def cyclonedx(bill: Bill) -> bytes:
    """Give the bill as CycloneDX. Source: https://cyclonedx.org/docs/1.6/json/."""
    image = f"image:{bill.image}"
    document: dict[str, Json] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, str(bill.identity))}",
        "version": 1,
        "metadata": {
            "timestamp": _time(bill.at),
            "tools": {"components": [{"type": "application", "name": _TOOL}]},
            "component": {"type": "operating-system", "bom-ref": image, "name": bill.image, "version": bill.version},
        },
        "components": [_of_cyclonedx(one) for one in _sorted(bill.components)],
        "dependencies": [{"ref": image, "dependsOn": [one.purl for one in _sorted(bill.components)]}],
    }
    return canonical_json(document)


def spdx(bill: Bill) -> bytes:
    """Give the bill as SPDX. Source: https://spdx.github.io/spdx-spec/v2.3/."""
    components = _sorted(bill.components)
    named = {reference: name for one in components for reference, name in _references_of(one).items()}
    document: dict[str, Json] = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": bill.image,
        "documentNamespace": f"{bill.namespace.rstrip('/')}/{bill.image}/{bill.identity}",
        "creationInfo": {"created": _time(bill.at), "creators": [f"Tool: {_TOOL}"]},
        "packages": [_image_of_spdx(bill), *(_of_spdx(one) for one in components)],
        "relationships": [
            _related("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-image"),
            *(_related("SPDXRef-image", "CONTAINS", _id(one)) for one in components),
        ],
        "hasExtractedLicensingInfos": [
            {
                "licenseId": reference,
                "name": name,
                "extractedText": f"{name!r} in the copyright file of the package: /usr/share/doc/PACKAGE/copyright",
            }
            for reference, name in sorted(named.items())
        ],
    }
    return canonical_json(document)


def licence_facts(components: Iterable[Component]) -> bytes:
    """Give what each package's copyright file says, as canonical JSON: `null` where it is no machine-readable one."""
    packages: dict[str, Json] = {
        f"{one.name}:{one.architecture}": None if one.licences is None else list(one.licences) for one in components
    }
    return canonical_json({"format": 1, "packages": packages})


def _sorted(components: Sequence[Component]) -> list[Component]:
    return sorted(components, key=lambda one: (one.name, one.architecture, one.version))


def _of_cyclonedx(one: Component) -> Json:
    found: dict[str, Json] = {
        "type": "library",
        "bom-ref": one.purl,
        "name": one.name,
        "version": one.version,
        "purl": one.purl,
        "hashes": [{"alg": "SHA-256", "content": str(one.sha256)}],
    }
    if one.licence:
        found["licenses"] = [{"expression": one.licence, "acknowledgement": "declared"}]
    return found


def _image_of_spdx(bill: Bill) -> Mapping[str, Json]:
    return {
        "SPDXID": "SPDXRef-image",
        "name": bill.image,
        "versionInfo": bill.version,
        "downloadLocation": _UNSAID,
        "filesAnalyzed": False,
        "primaryPackagePurpose": "OPERATING-SYSTEM",
    }


def _of_spdx(one: Component) -> Mapping[str, Json]:
    return {
        "SPDXID": _id(one),
        "name": one.name,
        "versionInfo": one.version,
        "downloadLocation": _UNSAID,
        "filesAnalyzed": False,
        "packageFileName": one.path,
        "checksums": [{"algorithm": "SHA256", "checksumValue": str(one.sha256)}],
        "licenseConcluded": _UNSAID,
        "licenseDeclared": one.licence or _UNSAID,
        "copyrightText": _UNSAID,
        "sourceInfo": f"built from source package {one.source} {one.source_version}",
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": one.purl}
        ],
    }


def _references_of(one: Component) -> dict[str, str]:
    """Give the references that a component's licences have, each with the short name that it stands for."""
    return {reference: name for name in one.licences or () for reference in references(spdx_expression(name))}


def _related(one: str, how: str, other: str) -> Mapping[str, Json]:
    return {"spdxElementId": one, "relationshipType": how, "relatedSpdxElement": other}


def _id(one: Component) -> str:
    """Name a package in the document; the digest parts what differs only in characters that a name cannot have."""
    return f"SPDXRef-{_NOT_OF_AN_ID.sub('-', one.name)}-{one.architecture}-{str(one.sha256)[:12]}"


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
