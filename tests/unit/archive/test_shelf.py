"""The shelf: suites by digest, pool files lazily and verified, everything that was given remembered."""

import shutil
import threading
from pathlib import Path
from typing import BinaryIO

import pytest
from tests.unit.archive.requests import FIELDS, LISTS, record_request
from tests.worlds.archive import DATE, DAY, MIRROR, Upstream, UpstreamFetcher, make_deb, make_source
from tests.worlds.installation import WorldContext, make_context

from distwright.archive.own_snapshots import drop_snapshots
from distwright.archive.record import record
from distwright.archive.serving import RecordedServing
from distwright.archive.shelf import Shelf
from distwright.archive.tree import EMPTY_ROOT, TreeEntry, TreeRoot, build_tree
from distwright.errors import NotFound, Rotten, Unreachable
from distwright.formats.release import parse_release
from distwright.jobs.step import Fetched, ShelfEntry
from distwright.model.digests import Sha256, sha256_of
from distwright.model.versions import DebVersion
from distwright.store.archives import list_snapshots

DEB, ALL, SOURCE = make_deb("hello"), make_deb("data", architecture="all"), make_source("hello")
PATH = f"debian/{DEB.pool_path()}"


@pytest.fixture
def context(tmp_path: Path) -> WorldContext:
    upstream = Upstream()
    upstream.add(DEB, ALL, SOURCE)
    upstream.publish()
    return make_context(tmp_path, upstream)


@pytest.fixture
def snapshot(context: WorldContext) -> Sha256:
    return record(record_request(), context, context.paths.cache / "pool").row.digest


def upstream_of(context: WorldContext) -> Upstream:
    assert isinstance(context.fetcher, UpstreamFetcher)
    return context.fetcher.upstreams[MIRROR]


def shelf_of(context: WorldContext, *entries: ShelfEntry, signed: bool = False) -> Shelf:
    return Shelf(entries, context, context.paths.cache / "pool", signed=signed)


def read(found: tuple[BinaryIO, int]) -> bytes:
    file, size = found
    with file:
        content = file.read()
    assert len(content) == size
    return content


def own(context: WorldContext, *entries: TreeEntry) -> ShelfEntry:
    root = build_tree(entries, context.objects.put)
    document = context.objects.put(root.to_bytes())
    return ShelfEntry("petrel", "devel", document, is_own=True, fields=tuple(FIELDS.items()), lists=LISTS)


def test_a_recorded_suite_is_given_as_upstream_served_it(context: WorldContext, snapshot: Sha256) -> None:
    shelf, upstream = shelf_of(context, ShelfEntry("debian", "stable", snapshot)), upstream_of(context)
    for path in ("main/binary-amd64/Packages.xz", "main/source/Sources.xz", "main/i18n/Translation-en.xz"):
        content = upstream.files[f"dists/stable/{path}"]
        assert read(shelf.find(f"debian/dists/stable/{path}")) == content
        folder = path.rpartition("/")[0]
        assert read(shelf.find(f"debian/dists/stable/{folder}/by-hash/SHA256/{sha256_of(content)}")) == content
    release = read(shelf.find("debian/dists/stable/Release"))
    assert parse_release(release) == parse_release(upstream.files["dists/stable/Release"])


def test_inrelease_is_given_only_to_clients_that_have_no_other_way_to_trust_us(
    context: WorldContext, snapshot: Sha256
) -> None:
    entry = ShelfEntry("debian", "stable", snapshot)
    with pytest.raises(NotFound):
        shelf_of(context, entry).find("debian/dists/stable/InRelease")
    signed = read(shelf_of(context, entry, signed=True).find("debian/dists/stable/InRelease"))
    assert signed == upstream_of(context).files["dists/stable/InRelease"]


def test_a_pool_file_comes_once_and_is_remembered(context: WorldContext, snapshot: Sha256) -> None:
    shelf = shelf_of(context, ShelfEntry("debian", "stable", snapshot))
    assert not shelf.fetched
    assert [read(shelf.find(PATH)), read(shelf.find(PATH))] == [DEB.content, DEB.content]
    read(shelf.find(f"debian/pool/main/h/hello/{SOURCE.dsc_name}"))
    assert isinstance(context.fetcher, UpstreamFetcher)
    assert context.fetcher.asked.count(f"{MIRROR}/{DEB.pool_path()}") == 1
    dsc = f"pool/main/h/hello/{SOURCE.dsc_name}"
    assert shelf.fetched == (
        Fetched("debian", "stable", dsc, sha256_of(SOURCE.dsc), len(SOURCE.dsc)),
        Fetched("debian", "stable", DEB.pool_path(), DEB.sha256, len(DEB.content)),
    )


def test_a_pool_file_that_several_ask_for_at_once_is_fetched_once(context: WorldContext, snapshot: Sha256) -> None:
    shelf = shelf_of(context, ShelfEntry("debian", "stable", snapshot))
    begin, contents = threading.Barrier(6), []

    def ask() -> None:
        begin.wait()
        contents.append(read(shelf.find(PATH)))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert contents == [DEB.content] * 6
    assert isinstance(context.fetcher, UpstreamFetcher)
    assert context.fetcher.asked.count(f"{MIRROR}/{DEB.pool_path()}") == 1


@pytest.mark.parametrize(
    "path",
    [
        "", "debian", "other/dists/stable/Release", "debian/dists/unstable/Release", "debian/dists/stable/Contents-amd64.gz",
        "debian/pool/main/h/hello/hello_9_amd64.deb", "debian/pool/", "debian/dists/stable/", "debian/../db.sqlite",
        f"debian/dists/stable/main/by-hash/SHA256/{'0' * 64}", "debian/dists/stable/main/by-hash/SHA256/../../../x",
        "debian/pool/main/\0", "debian/pool/main/\ud800", "debian/dists/stable/\0", "debian/dists/stable/\udcff/by-hash/SHA256/x",
        "debian/pool/main/\nh", "debian/dists/stable/main/binary-amd64/\u202e",
    ],
)  # fmt: skip
def test_what_is_not_recorded_is_not_found(context: WorldContext, snapshot: Sha256, path: str) -> None:
    with pytest.raises(NotFound):
        shelf_of(context, ShelfEntry("debian", "stable", snapshot)).find(path)


def test_a_file_outside_the_signed_indexes_is_never_asked_of_upstream(context: WorldContext, snapshot: Sha256) -> None:
    upstream_of(context).files["pool/main/e/evil/evil_1.0_amd64.deb"] = b"evil"
    with pytest.raises(NotFound):
        shelf_of(context, ShelfEntry("debian", "stable", snapshot)).find("debian/pool/main/e/evil/evil_1.0_amd64.deb")
    assert isinstance(context.fetcher, UpstreamFetcher)
    assert not [url for url in context.fetcher.asked if "evil" in url]


def test_an_upstream_that_does_not_answer_is_unreachable_for_new_files_only(
    context: WorldContext, snapshot: Sha256
) -> None:
    shelf = shelf_of(context, ShelfEntry("debian", "stable", snapshot))
    read(shelf.find(PATH))
    assert isinstance(context.fetcher, UpstreamFetcher)
    context.fetcher.is_cut_off = True
    assert read(shelf.find(PATH)) == DEB.content
    with pytest.raises(Unreachable):
        shelf.find(f"debian/{ALL.pool_path()}")


def test_an_index_object_that_has_rotted_is_named(context: WorldContext, snapshot: Sha256) -> None:
    packages = sha256_of(upstream_of(context).files["dists/stable/main/binary-amd64/Packages.gz"])
    assert not context.objects.has(packages)
    for derived in (context.paths.cache / "pool").iterdir():
        derived.unlink()
    kept = sha256_of(upstream_of(context).files["dists/stable/main/source/Sources.xz"])
    path = context.paths.objects / "sha256" / kept[:2] / kept[2:]
    path.chmod(0o644)
    path.write_bytes(upstream_of(context).files["dists/stable/main/i18n/Translation-en.xz"])
    with pytest.raises(Rotten, match=f"object {kept} has rotted"):
        shelf_of(context, ShelfEntry("debian", "stable", snapshot))


def entry(name: str, architecture: str) -> TreeEntry:
    deb = make_deb(name, architecture=architecture)
    return TreeEntry(f"main/binary-{architecture}", name, DebVersion("1.0"), deb.stanza().encode())


def test_an_own_suite_is_given_as_its_revision_says_unsigned_and_without_a_date(context: WorldContext) -> None:
    deb = make_deb("greeter")
    context.objects.put(deb.content)
    shelf = shelf_of(context, own(context, entry("greeter", "amd64")))
    packages = read(shelf.find("petrel/dists/devel/main/binary-amd64/Packages"))
    assert packages == deb.stanza().encode() + b"\n"
    release = parse_release(read(shelf.find("petrel/dists/devel/Release")))
    assert (release.suite, release.date.year, release.architectures) == ("devel", 1970, ("amd64",))
    assert release.indexes["main/binary-amd64/Packages"].sha256 == sha256_of(packages)
    assert read(shelf.find(f"petrel/{deb.pool_path()}")) == deb.content
    with pytest.raises(NotFound):
        shelf.find("petrel/dists/devel/InRelease")


def test_an_own_suite_with_packages_of_all_only_has_the_index_of_each_architecture(context: WorldContext) -> None:
    deb = make_deb("greeter-data", architecture="all")
    context.objects.put(deb.content)
    shelf = shelf_of(context, own(context, entry("greeter-data", "all")))
    assert read(shelf.find("petrel/dists/devel/main/binary-amd64/Packages")) == deb.stanza().encode() + b"\n"
    assert read(shelf.find(f"petrel/{deb.pool_path()}")) == deb.content


def test_an_empty_own_suite_has_empty_indexes(context: WorldContext) -> None:
    assert own(context).document == EMPTY_ROOT.revision
    shelf = shelf_of(context, own(context))
    assert read(shelf.find("petrel/dists/devel/main/source/Sources")) == b""
    assert parse_release(read(shelf.find("petrel/dists/devel/Release"))).components == ("main",)


def test_a_lost_object_of_an_own_suite_is_named_and_never_asked_of_upstream(context: WorldContext) -> None:
    shelf = shelf_of(context, own(context, entry("greeter", "amd64")))
    with pytest.raises(NotFound, match=r"pool/main/g/greeter/greeter_1\.0_amd64\.deb of petrel/devel is lost"):
        shelf.find("petrel/pool/main/g/greeter/greeter_1.0_amd64.deb")


def test_two_suites_of_one_archive_share_its_pool(context: WorldContext, snapshot: Sha256) -> None:
    entries = own(context, entry("greeter", "amd64")), ShelfEntry("debian", "stable", snapshot)
    shelf = shelf_of(context, *entries)
    assert read(shelf.find(PATH)) == DEB.content
    assert [file.archive for file in shelf.fetched] == ["debian"]


def test_a_document_that_is_not_here_is_not_found(context: WorldContext, snapshot: Sha256) -> None:
    with pytest.raises(NotFound, match=f"object {sha256_of(b'x')} is not here"):
        shelf_of(context, ShelfEntry("debian", "stable", sha256_of(b"x")))
    with pytest.raises(NotFound, match="of debian has no suite unstable"):
        shelf_of(context, ShelfEntry("debian", "unstable", snapshot))


def test_a_shelf_entry_comes_back_from_json(context: WorldContext) -> None:
    for given in (own(context), ShelfEntry("debian", "stable", TreeRoot({}).revision)):
        read_back = ShelfEntry.from_json(given.to_json())
        assert (read_back.to_json(), read_back.name, read_back.lists) == (given.to_json(), given.name, given.lists)


def test_serving_gives_the_newest_snapshot_and_each_serial_by_name(context: WorldContext, snapshot: Sha256) -> None:
    first = upstream_of(context).files["dists/stable/InRelease"]
    upstream_of(context).add(make_deb("hello", "2.0"))
    upstream_of(context).publish(DATE + DAY)
    context.clock += DAY
    record(record_request(), context, context.paths.cache / "pool")
    serving = RecordedServing("debian", context, context.paths.cache / "pool", context.now)
    assert read(serving.find("dists/stable/InRelease")) == upstream_of(context).files["dists/stable/InRelease"]
    assert read(serving.find("2024011001/dists/stable/InRelease")) == first
    assert read(serving.find("2024011001/" + DEB.pool_path())) == read(serving.find(DEB.pool_path())) == DEB.content
    for path in ("2024010101/dists/stable/InRelease", "pool/main/x", "", "2024011001"):
        with pytest.raises(NotFound):
            serving.find(path)


def serials(context: WorldContext, days: range) -> None:
    """Record a snapshot on each of these days, with a new version of hello and the same sources."""
    for day in days:
        upstream_of(context).add(make_deb("hello", f"2.{day}"))
        context.clock += DAY
        upstream_of(context).publish(DATE + DAY * (day + 1))
        record(record_request(), context, context.paths.cache / "pool")


def test_a_pool_file_that_no_snapshot_has_opens_no_snapshot(context: WorldContext, snapshot: Sha256) -> None:
    serials(context, range(5))
    serving = RecordedServing("debian", context, context.paths.cache / "pool", context.now)
    for _ in range(2):
        with pytest.raises(NotFound, match=r"pool/main/x is in no snapshot of debian"):
            serving.find("pool/main/x")
    assert serving._shelves == {}
    assert read(serving.find(DEB.pool_path())) == DEB.content
    assert read(serving.find(make_deb("hello", "2.4").pool_path())) == make_deb("hello", "2.4").content
    assert len(serving._shelves) == 2
    serials(context, range(5, 7))
    assert read(serving.find(make_deb("hello", "2.6").pool_path())) == make_deb("hello", "2.6").content


def test_each_snapshot_gives_the_file_that_it_promised_though_upstream_made_it_anew_under_its_name(
    context: WorldContext, snapshot: Sha256
) -> None:
    """Frozen clients know the old one by its hash; what most others ask for has the one address."""
    serving = RecordedServing("debian", context, context.paths.cache / "pool", context.now)
    path = DEB.pool_path()
    assert read(serving.find(f"2024011001/{path}")) == DEB.content
    anew = make_deb("hello", depends="libc6")
    assert (anew.pool_path(), anew.content != DEB.content) == (path, True)
    upstream_of(context).add(anew)
    context.clock += DAY
    upstream_of(context).publish(DATE + DAY)
    record(record_request(), context, context.paths.cache / "pool")
    for place, content in (("2024011001/", DEB.content), ("snapshots/2024011001/", DEB.content),
                           ("2024011101/", anew.content), ("", anew.content)):  # fmt: skip
        assert read(serving.find(f"{place}{path}")) == content
        assert serving.address(f"{place}{path}") == (path if content == anew.content else f"{place}{path}")
    assert serving.address(f"2024011001/{ALL.pool_path()}") == ALL.pool_path()
    assert serving.address("2024011001/dists/stable/InRelease") == "2024011001/dists/stable/InRelease"


def test_a_server_forgets_a_dropped_snapshot_and_finds_what_it_shared_in_one_that_stays(
    context: WorldContext, snapshot: Sha256
) -> None:
    upstream_of(context).add(make_source("extra"))  # the list of packages stays as it was
    upstream_of(context).publish(DATE + DAY)
    context.clock += DAY
    middle = record(record_request(), context, context.paths.cache / "pool").row
    serials(context, range(1, 2))
    serving = RecordedServing("debian", context, context.paths.cache / "pool", context.now)
    read(serving.find(f"{middle.serial}/dists/stable/InRelease"))
    with pytest.raises(NotFound):
        serving.find("pool/main/x")  # has looked into all lists by now
    drop_snapshots(context, "debian", [middle.serial])
    context.objects.local_path(middle.digest).unlink()
    assert read(serving.find(DEB.pool_path())) == DEB.content
    assert list(serving._shelves) == [snapshot]


def test_a_server_keeps_the_snapshots_that_were_asked_for_last(
    context: WorldContext, snapshot: Sha256, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distwright.archive.serving._SHELVES_KEPT", 2)
    serials(context, range(3))
    serving = RecordedServing("debian", context, context.paths.cache / "pool", context.now)
    with context.database.read() as tx:
        rows = list_snapshots(tx, "debian")[::-1]
    for number in (0, 1, 0, 2):
        read(serving.find(f"{rows[number].serial}/dists/stable/InRelease"))
        read(serving.find(f"{rows[number].serial}/{ALL.pool_path()}"))
    assert list(serving._shelves) == [rows[0].digest, rows[2].digest]
    assert [shelf.fetched for shelf in serving._shelves.values()] == [(), ()]


def test_removing_the_cache_disturbs_neither_a_shelf_nor_a_server(context: WorldContext, snapshot: Sha256) -> None:
    deb = make_deb("greeter")
    context.objects.put(deb.content)
    shelf = shelf_of(context, ShelfEntry("debian", "stable", snapshot), own(context, entry("greeter", "amd64")))
    serving = RecordedServing("debian", context, context.paths.cache / "pool", context.now)
    read(serving.find("dists/stable/InRelease"))
    for find in (shelf.find, lambda path: serving.find(path.removeprefix("debian/"))):
        shutil.rmtree(context.paths.cache)
        assert read(find(PATH)) == DEB.content
    shutil.rmtree(context.paths.cache)
    assert read(shelf.find(f"petrel/{deb.pool_path()}")) == deb.content


def test_a_pool_file_comes_from_where_the_machine_fetches_now_then_from_where_it_was_recorded(
    context: WorldContext, snapshot: Sha256
) -> None:
    now, wrong = Upstream(), Upstream()
    now.add(DEB)
    wrong.files[ALL.pool_path()] = b"other bytes"
    fetcher = UpstreamFetcher(
        {"https://now.example": now, "https://wrong.example": wrong, MIRROR: upstream_of(context)}
    )
    context.fetcher = fetcher
    mirrors = ["https://wrong.example", "https://now.example"]
    entries = [ShelfEntry("debian", "stable", snapshot)]
    shelf = Shelf(entries, context, context.paths.cache / "pool", mirrors=lambda _archive: mirrors)
    assert read(shelf.find(f"debian/{ALL.pool_path()}")) == ALL.content
    assert fetcher.asked == [f"{base}/{ALL.pool_path()}" for base in (*mirrors, MIRROR)]
    fetcher.asked.clear()
    assert read(shelf.find(PATH)) == DEB.content
    assert fetcher.asked == [f"https://now.example/{DEB.pool_path()}"], "the one that gave other bytes is asked last"


def test_two_states_of_an_archive_stand_side_by_side_each_at_an_address_of_its_own(
    context: WorldContext, snapshot: Sha256
) -> None:
    upstream, newer = upstream_of(context), make_deb("hello", "2.0")
    upstream.add(newer)
    upstream.publish(DATE + DAY)
    context.clock += DAY
    now = record(record_request(), context, context.paths.cache / "pool").row.digest
    before = ShelfEntry("debian", "stable", snapshot, served_as="debian~before")
    shelf = shelf_of(context, ShelfEntry("debian", "stable", now), before)
    assert before.name == "debian~before/stable"
    index = "dists/stable/main/binary-amd64/Packages.xz"
    assert read(shelf.find(f"debian/{index}")) == upstream.files[index] != read(shelf.find(f"debian~before/{index}"))
    assert read(shelf.find(f"debian~before/{DEB.pool_path()}")) == DEB.content
    assert read(shelf.find(f"debian/{newer.pool_path()}")) == newer.content
    for path in (f"debian/{DEB.pool_path()}", f"debian~before/{newer.pool_path()}"):
        with pytest.raises(NotFound):
            shelf.find(path)
    assert {file.archive for file in shelf.fetched} == {"debian"}, "where it came from, whatever it was served as"
    assert ShelfEntry.from_json(before.to_json()) == before
