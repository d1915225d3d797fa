"""Bills of materials, read and checked by the libraries of their formats."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.json.json_parser import parse_from_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from distwright.formats.sbom import Bill, Component, cyclonedx, licence_facts, spdx
from distwright.model.digests import sha256_of

AT = datetime(2026, 11, 23, 10, tzinfo=UTC)
HELLO = Component(
    "hello", "2.10-3+b1", "amd64", "hello", "2.10-3", sha256_of(b"hello"), "debian", "pool/main/h/hello/hello_2.10-3_amd64.deb",
    ("GFDL-NIV-1.3+", "GPL-3+"),
)  # fmt: skip
LIBSTDC = Component(
    "libstdc++6", "1:12.2", "amd64", "gcc-12", "12.2.0-14", sha256_of(b"c++"), "petrel", "pool/main/g/l.deb",
    ("GPL-3+ with Runtime exception", "public-domain or MIT"),
)  # fmt: skip
OLD = Component("old", "1", "all", "old", "1", sha256_of(b"old"), "debian", "pool/main/o/old.deb", None)
BILL = Bill(
    "petrel-amd64-1.0", "1.0", sha256_of(b"manifest"), AT, "https://petrel.example/sbom/", (OLD, LIBSTDC, HELLO)
)


def test_cyclonedx_holds_against_its_schema_and_is_read_back() -> None:
    text = cyclonedx(BILL).decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bom = Bom.from_json(json.loads(text))  # type: ignore[attr-defined]
    found = {component.name: component for component in bom.components}
    assert sorted(found) == ["hello", "libstdc++6", "old"]
    assert str(found["libstdc++6"].purl) == (
        "pkg:deb/petrel/libstdc%2B%2B6@1:12.2?arch=amd64&upstream=gcc-12%4012.2.0-14"
    )
    [licence] = found["hello"].licenses
    assert licence.value == "GFDL-1.3-no-invariants-or-later AND GPL-3.0-or-later"
    assert list(found["old"].licenses) == []
    assert {found["hello"].hashes[0].content} == {str(HELLO.sha256)}


def test_spdx_is_valid_to_its_own_library(tmp_path: Path) -> None:
    file = tmp_path / "image.spdx.json"
    file.write_bytes(spdx(BILL))
    document = parse_from_file(str(file))
    assert validate_full_spdx_document(document) == []
    assert [package.name for package in document.packages] == ["petrel-amd64-1.0", "hello", "libstdc++6", "old"]
    assert {info.license_id for info in document.extracted_licensing_info} == {
        "LicenseRef-GPL-3plus-with-Runtime-exception",
        "LicenseRef-public-domain",
    }
    assert document.creation_info.created == AT.replace(tzinfo=None)


def test_order_and_time_zone_of_what_is_known_change_nothing() -> None:
    other = replace(BILL, components=(HELLO, OLD, LIBSTDC), at=AT.astimezone(timezone(timedelta(hours=9))))
    assert (cyclonedx(other), spdx(other)) == (cyclonedx(BILL), spdx(BILL))
    assert cyclonedx(replace(BILL, identity=sha256_of(b"another"))) != cyclonedx(BILL)


def test_facts_tell_what_is_not_known_from_what_is_nothing() -> None:
    facts = json.loads(licence_facts([HELLO, OLD]))
    assert facts["packages"] == {"hello:amd64": ["GFDL-NIV-1.3+", "GPL-3+"], "old:all": None}
