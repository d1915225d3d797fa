"""Source packages that come as files: by the path or URL of a .dsc, or by name out of a recorded archive."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.archive.requests import record_request
from tests.worlds.archive import MIRROR, Upstream, UpstreamFetcher, make_deb, make_source, make_upload, signer
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.times import DATE

from distwright.archive.record import record
from distwright.archive.shelf import Mirrors
from distwright.archive.tree import EMPTY_ROOT
from distwright.builds.archive_source import read_recorded
from distwright.builds.changes_with_source import hashes_of, with_source
from distwright.builds.destinations import BUILD_KIND, TRY_KIND
from distwright.builds.dsc_source import read_dsc
from distwright.builds.package import conclude, sign_changes
from distwright.builds.resolve import GivenSource, given_order
from distwright.errors import BadInput, BadUsage, DistwrightError, NotFound, Refused
from distwright.formats.changes import parse_changes
from distwright.formats.clearsign import strip_clearsign
from distwright.jobs.step import StepResult
from distwright.model.digests import Json, sha256_of
from distwright.model.records import SuiteState
from distwright.model.versions import DebVersion
from distwright.net.fetch import NetFetcher
from distwright.signing.verify import Keyring
from distwright.store.suites import insert_suite

PLACE = "http://web.example/some/where"
SOURCE = make_source("greeter", "1:1.0")
URL = f"{PLACE}/{SOURCE.dsc_name}"
KEPT = {name: sha256_of(content) for name, content in SOURCE.files.items()}


class Held(WorldContext):
    """A context that knows no mirror but that of the record."""

    @property
    def mirrors(self) -> Mirrors:
        """None."""
        return lambda _archive: ()


@pytest.fixture
def context(tmp_path: Path) -> WorldContext:
    return make_context(tmp_path)


def served(context: WorldContext, files: Mapping[str, bytes | None] | None = None) -> WorldContext:
    """Serve the source package; files: other content by name, None for a file that is missing."""
    named = {**SOURCE.files, **(files or {})}
    web = Upstream(files={f"some/where/{name}": content for name, content in named.items() if content is not None})
    context.fetcher = UpstreamFetcher({"http://web.example": web})
    return context


def test_a_source_package_is_read_by_the_url_of_its_dsc(context: WorldContext) -> None:
    found = read_dsc(served(context), URL, None)
    assert found.source == GivenSource("greeter", DebVersion("1:1.0"), KEPT, SOURCE.dsc_name)
    assert found.said == "the signature of greeter_1.0.dsc was not verified; to do it, add --keyring FILE"
    assert all(context.objects.has(digest) for digest in KEPT.values())


def test_a_source_package_is_read_by_the_path_of_its_dsc(context: WorldContext, tmp_path: Path) -> None:
    context.fetcher = NetFetcher(agent="test")
    folder = tmp_path / "some folder%20"
    folder.mkdir()
    for name, content in SOURCE.files.items():
        (folder / name).write_bytes(content)
    assert read_dsc(context, str(folder / SOURCE.dsc_name), None).source.files == KEPT
    for place in (folder, folder / "nothing.dsc", Path("/dev/zero")):
        with pytest.raises(NotFound, match="does not exist, or is no file"):
            read_dsc(context, str(place), None)


def test_a_version_may_have_signs_that_a_url_writes_otherwise(context: WorldContext, tmp_path: Path) -> None:
    context.fetcher = NetFetcher(agent="test")
    source = make_source("greeter", "1.0+dfsg~rc1")
    for name, content in source.files.items():
        (tmp_path / name).write_bytes(content)
    found = read_dsc(context, str(tmp_path / source.dsc_name), None).source
    assert (str(found.version), sorted(found.files)) == ("1.0+dfsg~rc1", sorted(source.files))


def test_a_signature_is_verified_by_a_keyring_and_not_kept(context: WorldContext) -> None:
    signed = signer("uploader").sign_clear(SOURCE.dsc)
    served(context, {SOURCE.dsc_name: signed})
    keyring = Keyring(signer("uploader").certificate(), "ada.asc")
    found = read_dsc(context, URL, keyring)
    assert found.signers == keyring.fingerprints
    assert found.said == f"greeter_1.0.dsc is signed by {keyring.fingerprints[0]}"
    assert context.objects.read(found.source.files[SOURCE.dsc_name]) == SOURCE.dsc
    assert read_dsc(context, URL, None).source == found.source
    with pytest.raises(Refused, match=r"greeter_1\.0\.dsc has no valid signature by a key of others"):
        read_dsc(context, URL, Keyring(signer("builder").certificate(), "others"))
    with pytest.raises(Refused, match=r"greeter_1\.0\.dsc is not one signed message"):
        read_dsc(served(context), URL, keyring)


TAR = SOURCE.tar_name
OTHER = b"x" * len(SOURCE.tar)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({TAR: OTHER}, rf"{TAR} is not the file that greeter_1\.0\.dsc names: it has SHA-256 {sha256_of(OTHER)} instead of"),
        ({TAR: SOURCE.tar[:-1]}, rf"it has {len(SOURCE.tar) - 1} bytes instead of {len(SOURCE.tar)}"),
        ({TAR: SOURCE.tar + b"x" * 200}, rf"it has more than {len(SOURCE.tar)} bytes"),
        ({TAR: None}, rf"{TAR}, which greeter_1\.0\.dsc names, is not beside it"),
        ({SOURCE.dsc_name: None}, "is not on the server"),
        ({SOURCE.dsc_name: b"garbage"}, r"greeter_1\.0\.dsc: no field begins in the line 'garbage'"),
        ({SOURCE.dsc_name: b"-----BEGIN PGP SIGNED MESSAGE-----\n"}, r"greeter_1\.0\.dsc: a clearsigned message"),
        ({SOURCE.dsc_name: SOURCE.dsc.replace(TAR.encode(), b"../x.tar.gz")}, r"'\.\./x\.tar\.gz' cannot be the name"),
        ({SOURCE.dsc_name: SOURCE.dsc.replace(TAR.encode(), b"/etc/passwd")}, r"'/etc/passwd' cannot be the name"),
        ({SOURCE.dsc_name: SOURCE.dsc.replace(TAR.encode(), SOURCE.dsc_name.encode())}, r"greeter_1\.0\.dsc lists a \.dsc"),
        ({SOURCE.dsc_name: SOURCE.dsc.replace(b" %d " % len(SOURCE.tar), b" 99999999999 ")}, "files of 99999999999 bytes"),
        ({SOURCE.dsc_name: SOURCE.dsc.replace(b"Source: greeter", b"Source: ../x")}, "is not a package name"),
        ({SOURCE.dsc_name: SOURCE.dsc.replace(b"Version: 1:1.0", b"Version: /")}, "is not a Debian version"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_source_package_is_named(
    context: WorldContext, files: dict[str, bytes | None], problem: str
) -> None:
    served(context, files)
    with pytest.raises(DistwrightError, match=problem):
        read_dsc(context, URL, None)
    assert not context.objects.has(sha256_of(OTHER))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, rf"^{TAR}, which greeter_1\.0\.dsc names, is not beside it$"),
        (OTHER, rf"^{TAR} is not the file that greeter_1\.0\.dsc names: it has other bytes$"),
        (SOURCE.tar[:100], "it has 100 bytes instead of"),
    ],
    ids=["missing", "other", "cut"],
)
def test_a_file_that_is_kept_already_must_be_beside_the_dsc_all_the_same(
    context: WorldContext, content: bytes | None, problem: str
) -> None:
    read_dsc(served(context), URL, None)
    with pytest.raises((NotFound, Refused), match=problem):
        read_dsc(served(context, {TAR: content}), URL, None)


def test_of_a_file_that_is_kept_already_only_the_beginning_is_fetched(context: WorldContext) -> None:
    large = replace(SOURCE, tar=bytes(range(256)) * 64)
    context.objects.put(large.tar)
    found = read_dsc(served(context, {**large.files, TAR: large.tar[:8192]}), URL, None)
    assert found.source.files == {name: sha256_of(content) for name, content in large.files.items()}


def test_a_file_of_this_machine_is_read_even_if_it_is_kept_already(context: WorldContext, tmp_path: Path) -> None:
    read_dsc(served(context), URL, None)
    context.fetcher = NetFetcher(agent="test")
    (tmp_path / SOURCE.dsc_name).write_bytes(SOURCE.dsc)
    place = str(tmp_path / SOURCE.dsc_name)
    with pytest.raises(NotFound, match="is not beside it"):
        read_dsc(context, place, None)
    (tmp_path / TAR).write_bytes(SOURCE.tar[:-1] + b"x")
    with pytest.raises(Refused, match="it has SHA-256"):
        read_dsc(context, place, None)


@pytest.mark.parametrize(
    "place", [f"{PLACE}/{TAR}", PLACE, f"{PLACE}/", f"{PLACE}/..dsc", "http://[", "ftp://web.example/x.dsc"]
)
def test_what_is_no_dsc_is_refused(context: WorldContext, place: str) -> None:
    with pytest.raises((BadInput, BadUsage, NotFound)):
        read_dsc(served(context), place, None)


# --- of a recorded archive


@pytest.fixture
def held(tmp_path: Path) -> Held:
    """Give an installation with a recorded archive of four sources."""
    made = make_context(tmp_path)
    upstream = Upstream()
    upstream.add(make_deb("hello"), SOURCE, make_source("hello", "2.10-3"), make_source("hello-traditional", "2.9"))
    upstream.publish()
    context = Held(made.paths, made.database, made.objects, UpstreamFetcher({MIRROR: upstream}))
    record(record_request(), context, context.paths.cache / "pool")
    return context


def test_a_source_of_a_recorded_archive_is_found_by_name(held: Held) -> None:
    expected = GivenSource("greeter", DebVersion("1:1.0"), KEPT, "debian/stable@2024011001")
    assert read_recorded(held, "debian/stable", "greeter", None) == expected
    assert read_recorded(held, "debian/stable", "greeter=1:1.0", "2024011001") == expected
    assert all(held.objects.has(digest) for digest in KEPT.values())


@pytest.mark.parametrize(
    ("place", "wanted", "serial", "problem"),
    [
        ("debian/stable", "helo", None, "debian/stable at 2024011001 has no source 'helo'; near are hello"),
        ("debian/stable", "nothing-like-it", None, "has no source 'nothing-like-it'$"),
        ("debian/stable", "hello=1.0", None, r"has hello 2\.10-3, not '1\.0'"),
        ("debian/testing", "hello", None, "snapshot 2024011001 of debian has no suite 'testing', but stable"),
        ("debian", "hello", None, "has no suite ''"),
        ("petrel/devel", "hello", None, "archive 'petrel' is no upstream archive"),
        ("security/stable", "hello", None, "archive security has no snapshot$"),
        ("debian/stable", "hello", "2024011009", "archive debian has no snapshot '2024011009'"),
        ("debian/stable", "hello", "x", "archive debian has no snapshot 'x'"),
    ],
)
def test_what_is_not_recorded_is_named_with_what_is_near(
    held: Held, place: str, wanted: str, serial: str | None, problem: str
) -> None:
    with pytest.raises(NotFound, match=problem):
        read_recorded(held, place, wanted, serial)


def test_files_that_are_not_what_was_signed_are_refused(held: Held) -> None:
    upstream = held.fetcher.upstreams[MIRROR]  # type: ignore[attr-defined]  # it is the world's
    upstream.edit_all(TAR, lambda content: content[:-1] + b"x")
    with pytest.raises(Refused, match=f"{TAR} has SHA-256"):
        read_recorded(held, "debian/stable", "greeter", None)


# --- their orders, and what is signed


GIVEN = GivenSource("greeter", DebVersion("1:1.0"), KEPT, "greeter_1.0.dsc")


def make_suite(context: WorldContext) -> None:
    context.objects.put(EMPTY_ROOT.to_bytes())
    with context.database.write() as tx:
        insert_suite(tx, SuiteState("petrel", "devel", "base", EMPTY_ROOT.revision, DATE))


def test_a_given_source_is_tried_unless_a_suite_is_given_and_brings_itself_there(held: Held) -> None:
    make_suite(held)
    tried, nowhere = given_order(held.database, held.ground(), GIVEN, suite=None, environment=None)
    assert (tried.kind, nowhere.is_upload, tried.inputs["suite"]) == (TRY_KIND, False, "stable")
    assert "--suite SUITE" in nowhere.note
    made, there = given_order(held.database, held.ground(), GIVEN, suite="devel", environment="tools")
    assert (made.kind, there.suite, made.inputs["brings_source"]) == (BUILD_KIND, "devel", True)
    assert {key: made.inputs[key] for key in ("repo", "source", "version", "source_files", "archive", "form")} == {
        "repo": "", "source": "greeter", "version": "1:1.0", "source_files": KEPT, "archive": "petrel", "form": 2,
    }  # fmt: skip
    assert "brings_source" not in tried.inputs
    with pytest.raises(NotFound, match="environment 'nothing' is not configured, but build, tools"):
        given_order(held.database, held.ground(), GIVEN, suite=None, environment="nothing")


def test_the_changes_file_of_a_source_that_its_suite_lacks_lists_it_first(context: WorldContext) -> None:
    make_suite(context)
    for content in SOURCE.files.values():
        context.objects.put(content)
    upload = make_upload(None, make_deb("greeter", "1:1.0"), fields={"Source": "greeter", "Version": "1:1.0"})
    unsigned = strip_clearsign(upload.changes)
    earlier = {"build": StepResult({"changes/x.changes": context.objects.put(unsigned), "deb/greeter.deb": KEPT[TAR]})}
    inputs: dict[str, Json] = {
        "source": "greeter", "version": "1:1.0", "suite": "devel", "archive": "petrel", "repo": "", "source_files": KEPT,
        "brings_source": True,
    }  # fmt: skip
    result = sign_changes(context, inputs, earlier)
    signed = strip_clearsign(context.objects.read(result.outputs["changes/x.changes"]))
    before, after = parse_changes(unsigned), parse_changes(signed)
    assert signed.rstrip() + b"\n" == with_source(unsigned, hashes_of(context.objects, KEPT))
    assert after.architectures == ("source", *before.architectures)
    assert [file.name for file in after.files] == [SOURCE.dsc_name, TAR, *(file.name for file in before.files)]
    assert [file.sha256 for file in after.files[:2]] == [KEPT[SOURCE.dsc_name], KEPT[TAR]]
    assert {(file.section, file.priority) for file in after.files} == {("utils", "optional")}
    assert (after.changes, after.date) == (before.changes, before.date)
    (event,) = conclude(inputs, {**earlier, "sign": result}, DATE, 1).events
    assert event.body["files"] == {"greeter.deb": KEPT[TAR], **KEPT}
