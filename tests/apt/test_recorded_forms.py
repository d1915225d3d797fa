"""A recorded archive keeps its lists in the best compression, and in every one where clients need that."""

from datetime import timedelta
from pathlib import Path

import pytest
from tests.worlds.archive import DATE, Upstream, make_deb, make_source
from tests.worlds.recorded import RecordedArchive, recorded_archive

from distwright.archive.garbage import collect
from distwright.archive.snapshots import parse_snapshot
from distwright.model.digests import sha256_of


@pytest.fixture
def archive(tmp_path: Path) -> RecordedArchive:
    made = Upstream()
    made.add_indexes(
        "stable", {"main/binary-amd64/Release": b"Component: main\n", "main/binary-amd64/Release.old": b"no"}
    )
    made.add(make_deb("hello"), make_source("hello"))
    made.publish(DATE)
    return recorded_archive(tmp_path / "state", made)


def test_lists_are_kept_in_every_compression_once_that_is_asked_for(archive: RecordedArchive) -> None:
    path = "main/binary-amd64/Packages.gz"
    lean = archive.record().row
    row = archive.record(has_all_forms=True).row
    assert row.serial > lean.serial  # of an upstream that has not changed
    assert archive.record(has_all_forms=True).row == row
    archive.cut_off()
    content = archive.upstream.files[f"dists/stable/{path}"]
    assert archive.read(f"dists/stable/{path}") == content
    assert archive.read(f"dists/stable/main/binary-amd64/by-hash/SHA256/{sha256_of(content)}") == content
    document = parse_snapshot(archive.context.objects.read(row.digest))
    assert parse_snapshot(document.to_bytes()) == document
    suite = document.suites["stable"]
    others = [index.path.replace(".xz", ".gz") for index in suite.indexes]
    assert sorted(copy.path for copy in suite.copies) == sorted([*others, "main/binary-amd64/Release"])
    assert archive.read("dists/stable/main/binary-amd64/Release") == b"Component: main\n"
    collected = collect(archive.context, [], grace=timedelta(0), really=True)
    assert (collected.objects, archive.read(f"dists/stable/{path}")) == (0, content)


def test_a_lost_copy_is_fetched_again_by_the_next_record(archive: RecordedArchive) -> None:
    row = archive.record(has_all_forms=True).row
    [suite] = parse_snapshot(archive.context.objects.read(row.digest)).suites.values()
    for copy in suite.copies:
        archive.context.paths.objects.joinpath("sha256", copy.sha256[:2], copy.sha256[2:]).unlink()
    assert archive.record(has_all_forms=True).row == row
    assert all(archive.context.objects.has(copy.sha256) for copy in suite.copies)
