"""The snapshot document: what a recorded archive consisted of, and nothing about where it came from."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.archive.requests import record_request
from tests.worlds.archive import DATE, MIRROR, Upstream, UpstreamFetcher, make_deb, signer
from tests.worlds.installation import make_context

from distwright.archive.judging import RecordRequest
from distwright.archive.record import record
from distwright.archive.snapshots import RecordedIndex, RecordedSuite, SnapshotDocument, parse_snapshot
from distwright.errors import BadInput
from distwright.model.digests import sha256_of
from distwright.model.serials import Serial
from distwright.signing.verify import Keyring

A, B, C, D = (sha256_of(letter) for letter in (b"a", b"b", b"c", b"d"))
DOCUMENT = SnapshotDocument(
    {"stable": RecordedSuite("stable", A, B, DATE, ("main",),
                             (RecordedIndex("main/binary-amd64/Packages.xz", C, 12, D),))},
)  # fmt: skip


def test_a_document_has_one_canonical_form() -> None:
    text = (
        f'{{"format":1,"suites":{{"stable":{{"components":["main"],"date":1704888000,'
        f'"indexes":[["main/binary-amd64/Packages.xz","{C}",12,"{D}"]],"inrelease":"{A}","release":"{B}"}}}}}}\n'
    )
    assert DOCUMENT.to_bytes() == text.encode()
    assert DOCUMENT.digest == sha256_of(text.encode())


def test_reading_gives_back_what_was_written() -> None:
    assert parse_snapshot(DOCUMENT.to_bytes()) == DOCUMENT


def test_copies_are_written_only_where_there_are_some_and_read_back() -> None:
    copy = RecordedIndex("main/binary-amd64/Packages.gz", A, 15, D)
    document = SnapshotDocument({"stable": replace(DOCUMENT.suites["stable"], copies=(copy,))})
    assert parse_snapshot(document.to_bytes()) == document
    assert f'"copies":[["main/binary-amd64/Packages.gz","{A}",15,"{D}"]]'.encode() in document.to_bytes()
    assert document.digest != DOCUMENT.digest


def test_order_of_components_and_indexes_is_no_part_of_the_identity() -> None:
    suite = DOCUMENT.suites["stable"]
    more = RecordedIndex("contrib/binary-amd64/Packages.xz", B, 1, A)
    suites = [
        replace(suite, components=("main", "contrib"), indexes=(more, *suite.indexes)),
        replace(suite, components=("contrib", "main"), indexes=(*suite.indexes, more)),
    ]
    assert len({SnapshotDocument({"stable": suite}).digest for suite in suites}) == 1


def test_order_of_suites_is_no_part_of_the_identity() -> None:
    other = replace(DOCUMENT.suites["stable"], name="updates")
    one = SnapshotDocument({"stable": DOCUMENT.suites["stable"], "updates": other})
    two = SnapshotDocument({"updates": other, "stable": DOCUMENT.suites["stable"]})
    assert one.digest == two.digest


@pytest.mark.parametrize("content", [b'{"format":2}', b"{}"])
def test_a_document_of_another_format_is_refused(content: bytes) -> None:
    with pytest.raises(BadInput, match="snapshot has format"):
        parse_snapshot(content)


def test_digest_depends_neither_on_the_mirror_nor_on_the_keyring_nor_on_the_serial(tmp_path: Path) -> None:
    upstream = Upstream()
    upstream.add(make_deb("hello"))
    upstream.publish()
    others = b"\n".join((signer("somebody").certificate(), signer("upstream").certificate()))
    requests: list[tuple[RecordRequest, Serial | None, timedelta]] = [
        (record_request(), None, timedelta()),
        (record_request(url="http://other.example/mirror/of/debian"), Serial("2026010142"), timedelta(days=900)),
        (replace(record_request(), keyring=Keyring(others, "two keys")), None, timedelta(days=1)),
    ]
    rows = []
    for number, (request, serial, later) in enumerate(requests):
        context = make_context(tmp_path / str(number))
        context.fetcher = UpstreamFetcher({request.url: upstream})
        context.clock += later
        rows.append(record(request, context, tmp_path / str(number) / "pool", serial).row)
    assert [row.serial for row in rows] == ["2024011001", "2026010142", "2024011101"]
    assert [row.fetched_from for row in rows] == [MIRROR, "http://other.example/mirror/of/debian", MIRROR]
    assert len({row.digest for row in rows}) == 1
