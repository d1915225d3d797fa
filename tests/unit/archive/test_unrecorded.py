"""What a record left out and upstream signed: it comes when it is asked for, is what was signed, and stays with the snapshot."""

import gzip
import hashlib
import lzma
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.worlds.archive import DATE, DAY, MIRROR, Upstream, UpstreamFetcher, make_deb
from tests.worlds.recorded import RecordedArchive, recorded_archive

from distwright.archive.garbage import collect
from distwright.archive.own_snapshots import drop_snapshots
from distwright.archive.snapshots import PoolChoice, parse_snapshot
from distwright.archive.unrecorded import parse_sums
from distwright.errors import BadInput, NotFound, Refused, Unreachable
from distwright.model.digests import Sha256, sha256_of

CONTENTS, GERMAN = "main/Contents-amd64", "main/i18n/Translation-de"
SUMS = "main/installer-amd64/current/images/SHA256SUMS"
KERNEL, INITRD = b"a kernel", b"an initrd"
ARM = make_deb("hello", architecture="arm64")


def sums(**images: bytes) -> bytes:
    return "".join(
        f"{hashlib.sha256(image).hexdigest()}  ./netboot/{name}\n" for name, image in images.items()
    ).encode()


def upstream() -> Upstream:
    made = Upstream(architectures=("amd64", "arm64"))
    made.add(make_deb("hello"))
    made.add_indexes(
        "stable",
        {
            CONTENTS: b"usr/bin/hello utils/hello\n",
            GERMAN: b"Package: hello\nDescription-md5: 0\nDescription-de: Hallo\n",
            SUMS: sums(linux=KERNEL, initrd=INITRD),
            "main/binary-arm64/Packages": b"",
        },
    )
    made.publish(DATE)
    # Debian has this one plain, and the images beside it.
    made.files[f"dists/stable/{SUMS}"] = sums(linux=KERNEL, initrd=INITRD)
    folder = SUMS.rpartition("/")[0]
    made.files |= {f"dists/stable/{folder}/netboot/linux": KERNEL, f"dists/stable/{folder}/netboot/initrd": INITRD}
    return made


@pytest.fixture
def archive(tmp_path: Path) -> RecordedArchive:
    """Of amd64 only, with English descriptions: what a record has by default."""
    made = recorded_archive(tmp_path / "state", upstream())
    made.architectures = ("amd64",)
    return made


def by_hash(content: bytes, folder: str = "main") -> str:
    return f"dists/stable/{folder}/by-hash/SHA256/{sha256_of(content)}"


def test_what_release_names_comes_when_it_is_asked_for_and_then_stays(archive: RecordedArchive) -> None:
    serial = archive.record().row.serial
    fetcher = archive.context.fetcher
    assert isinstance(fetcher, UpstreamFetcher)
    for path in (f"{CONTENTS}.gz", f"{CONTENTS}.xz", f"{GERMAN}.xz"):
        expected = archive.upstream.files[f"dists/stable/{path}"]
        fetcher.asked.clear()
        assert archive.read(f"dists/stable/{path}") == expected
        assert fetcher.asked == [f"{MIRROR}/{by_hash(expected, path.rpartition('/')[0])}"]
        assert archive.read(f"{serial}/{by_hash(expected, path.rpartition('/')[0])}") == expected
    archive.cut_off()
    assert gzip.decompress(archive.read(f"dists/stable/{CONTENTS}.gz")) == b"usr/bin/hello utils/hello\n"
    with pytest.raises(Unreachable):
        archive.read(f"dists/stable/{GERMAN}.gz")


def test_a_name_that_nobody_signed_is_asked_nobody(archive: RecordedArchive) -> None:
    archive.record()
    fetcher = archive.context.fetcher
    assert isinstance(fetcher, UpstreamFetcher)
    fetcher.asked.clear()
    for path in ("main/Contents-s390x.gz", "main/../../../etc/passwd", by_hash(b"x")[13:], ""):
        with pytest.raises(NotFound, match=r"is not in Release of debian/stable"):
            archive.read(f"dists/stable/{path}")
    with pytest.raises(NotFound):
        archive.read(
            f"dists/stable/main/other/by-hash/SHA256/{sha256_of(archive.upstream.files[f'dists/stable/{GERMAN}.xz'])}"
        )
    assert fetcher.asked == []


def test_upstream_that_has_moved_on_is_said_so(archive: RecordedArchive) -> None:
    archive.record()
    archive.upstream.add_indexes("stable", {CONTENTS: b"usr/bin/hello utils/hello,utils/world\n"})
    archive.upstream.publish(DATE + DAY)
    assert lzma.decompress(archive.read(f"dists/stable/{CONTENTS}.xz")) == b"usr/bin/hello utils/hello\n"
    archive.upstream.forget("/by-hash/")
    with pytest.raises(NotFound, match="upstream has moved on: it no longer has it") as caught:
        archive.read(f"dists/stable/{CONTENTS}.gz")
    assert caught.value.hint.endswith("distwright archive record debian")


def test_bytes_that_were_not_signed_are_not_served(archive: RecordedArchive) -> None:
    archive.record()
    archive.upstream.edit_all("Contents-amd64", lambda content: content + b"!")
    archive.upstream.edit_all("/by-hash/", lambda content: content[:-1])
    with pytest.raises(NotFound, match="upstream has moved on"):
        archive.read(f"dists/stable/{CONTENTS}.gz")


def test_lists_of_another_architecture_bring_its_packages(archive: RecordedArchive) -> None:
    archive.upstream.add(ARM)
    archive.upstream.publish(DATE + DAY)
    serial = archive.record().row.serial
    path = ARM.pool_path()
    with pytest.raises(NotFound):
        archive.read(path)
    assert b"Architecture: arm64" in lzma.decompress(archive.read("dists/stable/main/binary-arm64/Packages.xz"))
    assert archive.read(path) == archive.read(f"{serial}/{path}") == ARM.content


def test_images_of_the_installer_are_what_its_sums_say(archive: RecordedArchive) -> None:
    archive.record()
    folder = f"dists/stable/{SUMS.rpartition('/')[0]}/netboot"
    assert archive.read(f"{folder}/linux") == KERNEL
    archive.upstream.edit(f"{folder}/initrd", lambda content: content + b"!")
    with pytest.raises(NotFound, match="upstream has moved on"):
        archive.read(f"{folder}/initrd")
    with pytest.raises(NotFound, match="is not in Release"):
        archive.read(f"{folder}/nothing")
    archive.cut_off()
    assert archive.read(f"{folder}/linux") == KERNEL


def test_images_of_the_installer_come_with_the_record_if_they_are_wanted(archive: RecordedArchive) -> None:
    folder = f"{SUMS.rpartition('/')[0]}/netboot"
    without = archive.record().row
    row = archive.record(has_installer=True).row
    assert row != without
    document = parse_snapshot(archive.context.objects.read(row.digest))
    paths = {index.path for index in document.suites["stable"].indexes}
    assert {SUMS, f"{folder}/linux", f"{folder}/initrd"} < paths
    assert archive.record(has_installer=True).row == row, "nothing has changed"
    archive.cut_off()
    for name, content in (("linux", KERNEL), ("initrd", INITRD)):
        assert archive.read(f"dists/stable/{folder}/{name}") == content
    archive.context.clock += DAY
    _collect(archive)
    assert here(archive, [sha256_of(KERNEL), sha256_of(INITRD)]) == [True, True]


@pytest.mark.parametrize("defect", ["gone", "another"])
def test_a_record_without_its_images_does_not_happen(archive: RecordedArchive, defect: str) -> None:
    path = f"dists/stable/{SUMS.rpartition('/')[0]}/netboot/linux"
    if defect == "gone":
        archive.upstream.forget(path)
    else:
        archive.upstream.edit(path, lambda content: content + b"!")
    with pytest.raises((NotFound, Refused), match="netboot/linux"):
        archive.record(has_installer=True)
    with pytest.raises(NotFound, match="has no snapshot"):
        archive.read("dists/stable/InRelease")


def test_what_came_late_lives_as_long_as_its_snapshot(archive: RecordedArchive) -> None:
    archive.upstream.add(ARM)
    archive.upstream.publish(DATE + DAY)
    first = archive.record().row.serial
    paths = (f"dists/stable/{CONTENTS}.gz", "dists/stable/main/binary-arm64/Packages.xz", ARM.pool_path(),
             f"dists/stable/{SUMS.rpartition('/')[0]}/netboot/linux")  # fmt: skip
    digests = [sha256_of(archive.read(path)) for path in paths]
    assert here(archive, digests) == [True] * 4
    archive.context.clock += 30 * DAY
    _collect(archive)
    assert here(archive, digests) == [True] * 4
    archive.upstream = Upstream()
    archive.context.fetcher.upstreams = {MIRROR: archive.upstream}  # type: ignore[attr-defined]  # of the worlds' fetcher
    archive.upstream.add(make_deb("other"))
    archive.upstream.publish(archive.context.clock)
    archive.record()
    drop_snapshots(archive.context, "debian", [first])
    _collect(archive)
    assert here(archive, digests) == [False] * 4


def test_a_filtered_record_gives_nothing_of_upstream(archive: RecordedArchive) -> None:
    archive.record(PoolChoice(("hello",), is_filtered=True))
    with pytest.raises(NotFound):
        archive.read(f"dists/stable/{CONTENTS}.gz")


def test_sums_are_those_of_sha256sum_or_refused() -> None:
    digest = "0" * 64
    text = f"{digest}  ./netboot/linux\n{digest} *cdrom/x y\n".encode()
    assert parse_sums(text, "a/SHA256SUMS") == {"a/netboot/linux": Sha256(digest), "a/cdrom/x y": Sha256(digest)}
    for bad in (b"x", text[:-3] + b"\n\n\n", b"0" * 63 + b"  x"):
        with pytest.raises(BadInput, match="a/SHA256SUMS has a line that is no checksum"):
            parse_sums(bad, "a/SHA256SUMS")


def here(archive: RecordedArchive, digests: list[Sha256]) -> list[bool]:
    """Look without asking for them, which would bring back what is in the trash."""
    folder = archive.context.paths.objects / "sha256"
    return [(folder / digest[:2] / digest[2:]).exists() for digest in digests]


def _collect(archive: RecordedArchive) -> None:
    now = archive.context.clock
    archive.context.clock = datetime.now(UTC) + 30 * DAY
    collect(archive.context, [], really=True)
    archive.context.clock = now
