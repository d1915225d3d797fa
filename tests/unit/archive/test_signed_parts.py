"""Pure parts of what we sign of recorded archives: sources of a package, a Release with another end."""

from datetime import UTC, datetime

import pytest
from tests.worlds.archive import make_deb

from distwright.archive.chosen import SourceName, parse_chosen, sources_of, write_chosen
from distwright.archive.poolindex import PoolFile
from distwright.archive.resigned import ResignedDocument, ResignedSuite, parse_resigned, with_valid_until
from distwright.archive.tag_manifest import parse_manifest
from distwright.errors import BadInput
from distwright.formats.release import parse_release
from distwright.model.digests import sha256_of

DIGEST = sha256_of(b"")
UNTIL = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"hello 1.0"}),
        ({"Source": "greet"}, {"greet 1.0"}),
        ({"Source": "greet (2:3-1)"}, {"greet 2:3-1"}),
        ({"Built-Using": "gcc (= 12-1), glibc (= 2.36-9)"}, {"hello 1.0", "gcc 12-1", "glibc 2.36-9"}),
        ({"Static-Built-Using": "rust-a (= 1),\n rust-b (=2)"}, {"hello 1.0", "rust-a 1", "rust-b 2"}),
    ],
)
def test_sources_are_its_own_and_those_built_in(fields: dict[str, str], expected: set[str]) -> None:
    stanza = make_deb("hello", fields=fields).stanza().encode()
    assert {f"{source.name} {source.version}" for source in sources_of(stanza)} == expected
    assert all(isinstance(source, SourceName) for source in sources_of(stanza))


@pytest.mark.parametrize(
    "head",
    [
        "Origin: D\nDate: Wed, 10 Jan 2024 12:00:00 UTC\n",
        "Origin: D\nDate: Wed, 10 Jan 2024 12:00:00 UTC\nValid-Until: Wed, 17 Jan 2024 12:00:00 UTC\n",
        "Valid-Until: Wed, 17 Jan 2024 12:00:00 UTC\nSigned-By: A,\n B\nDate: Wed, 10 Jan 2024 12:00:00 UTC\nOrigin: D\n",
    ],
)
def test_a_release_changes_in_its_end_and_in_who_signs_and_in_nothing_else(head: str) -> None:
    tail = f"Suite: stable\nSHA1:\n abc 1 x\nSHA256:\n {DIGEST}        0 main/binary-amd64/Packages\n"
    changed = with_valid_until((head + tail).encode(), UNTIL)
    assert changed.endswith(tail.encode())
    release = parse_release(changed)
    assert (release.valid_until, release.signed_by, release.origin) == (UNTIL, (), "D")
    assert changed.count(b"Valid-Until") == 1
    assert with_valid_until(changed, UNTIL) == changed


def test_documents_come_back() -> None:
    document = ResignedDocument(
        {
            "stable": ResignedSuite({"InRelease": DIGEST}, is_whole=False, since=UNTIL),
            "other": ResignedSuite({"main/binary-amd64/Packages.xz": DIGEST}, is_whole=True),
        }
    )
    assert parse_resigned(document.to_bytes()) == document
    files = [PoolFile("pool/b", DIGEST, 2), PoolFile("pool/a", DIGEST, 1)]
    assert parse_chosen(write_chosen([*files, *files])) == sorted(files, key=lambda file: file.path)
    for parse in (parse_resigned, parse_chosen):
        with pytest.raises(BadInput, match="has format 99"):
            parse(b'{"format": 99}')


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"format": 2}', b'{"format": 1}', b'{"format": 1, "packages": [{"name": 1}]}']
)
def test_what_is_no_manifest_is_refused(content: bytes) -> None:
    with pytest.raises(BadInput):
        parse_manifest(content)
