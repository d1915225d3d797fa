"""Uploads: everything that is wrong is said at once, each problem by the name of its check; what is right moves the suite."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tests.worlds.archive import MadeDeb, MadeSource, MadeUpload, make_deb, make_source, make_upload, signer
from tests.worlds.installation import config, make_context
from tests.worlds.uploads import Suite, add_suite

from distwright.archive.resolve import accept_order
from distwright.archive.tree import EMPTY_ROOT, Tombstone, parse_root
from distwright.archive.upload_checks import CHECKS
from distwright.config.tables_archive import OwnArchive
from distwright.errors import Busy
from distwright.jobs.step import StepResult
from distwright.model.digests import Sha256, sha256_of
from distwright.model.events import EventKind
from distwright.model.versions import DebVersion
from distwright.store.holds import holds_on
from distwright.store.suites import get_suite, insert_pool_names, list_revisions, move_suite

SOURCE, DEB = make_source("greeter", "1.0"), make_deb("greeter", "1.0")
DATA = make_deb("greeter-data", "1.0", architecture="all", source="greeter")


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    context = make_context(tmp_path)
    add_suite(context, "devel")
    return Suite(context)


def upload_of(version: str, *debs: MadeDeb) -> MadeUpload:
    return make_upload(make_source("greeter", version), make_deb("greeter", version), *debs)


def test_a_right_upload_moves_the_suite_and_announces_it(suite: Suite) -> None:
    upload = make_upload(SOURCE, DEB, DATA, make_deb("greeter-dbgsym", source="greeter"))
    result = suite.accept(upload)
    revision = suite.state().revision
    assert result == StepResult({}, values={"revision": revision, "source": "greeter", "version": "1.0"})
    assert suite.names() == [
        ("main/binary-all", "greeter-data", "1.0"),
        ("main/binary-amd64", "greeter", "1.0"),
        ("main/binary-amd64", "greeter-dbgsym", "1.0"),
        ("main/source", "greeter", "1.0"),
    ]
    accepted, changed = suite.context.events()
    changes = sha256_of(upload.changes)
    assert (accepted.kind, accepted.subject) == (EventKind.UPLOAD_ACCEPTED, "petrel/devel greeter 1.0")
    assert accepted.body == {
        "archive": "petrel", "suite": "devel", "source": "greeter", "version": "1.0", "changes": changes,
        "revision": revision,
    }  # fmt: skip
    added = ["greeter", "greeter-data"]
    assert changed.body == {
        "archive": "petrel", "suite": "devel", "before": EMPTY_ROOT.revision, "revision": revision, "action": "upload",
        "added": added,
    }  # fmt: skip
    [verdict] = suite.uploads()
    assert (verdict.is_accepted, verdict.problems, verdict.signer) == (True, [], signer("uploader").fingerprints[0])
    with suite.context.database.read() as tx:
        for digest in (changes, DEB.sha256):
            assert f"upload {changes}" in {hold.holder for hold in holds_on(tx, "object", digest)}
        assert "suite petrel/devel" in {hold.holder for hold in holds_on(tx, "object", revision)}


def test_the_indexes_promise_exactly_what_came(suite: Suite) -> None:
    suite.accept(make_upload(SOURCE, DEB))
    packages, sources = suite.text("main/binary-amd64"), suite.text("main/source")
    assert f"Filename: {DEB.pool_path()}\nSize: {len(DEB.content)}\n" in packages
    assert f"SHA256: {DEB.sha256}\n\n" in packages
    assert "Directory: pool/main/g/greeter\n" in sources
    for name, content in SOURCE.files.items():
        assert f" {sha256_of(content)} {len(content)} {name}\n" in sources


def test_the_same_upload_twice_changes_nothing(suite: Suite) -> None:
    upload = make_upload(SOURCE, DEB)
    first = suite.accept(upload)
    events = suite.context.events()
    assert suite.accept(upload) == first
    assert suite.context.events() == events


def test_a_newer_version_replaces_everything_of_its_source_and_nothing_else(suite: Suite) -> None:
    suite.accept(make_upload(make_source("other", "9"), make_deb("other", "9")))
    suite.accept(make_upload(SOURCE, DEB, DATA))
    suite.accept(
        make_upload(make_source("greeter", "1.1"), make_deb("greeter", "1.1"), make_deb("new", "1.1", source="greeter"))
    )
    assert suite.names() == [
        ("main/binary-amd64", "greeter", "1.1"),
        ("main/binary-amd64", "new", "1.1"),
        ("main/binary-amd64", "other", "9"),
        ("main/source", "greeter", "1.1"),
        ("main/source", "other", "9"),
    ]


def test_two_orders_of_uploads_give_one_revision(tmp_path: Path) -> None:
    uploads = [upload_of("1.0"), make_upload(make_source("other"), make_deb("other"))]
    revisions = []
    for number, order in enumerate((uploads, uploads[::-1])):
        suite = Suite(make_context(tmp_path / str(number)))
        add_suite(suite.context, "devel")
        for upload in order:
            suite.accept(upload)
        revisions.append(suite.state().revision)
    assert revisions[0] == revisions[1] != EMPTY_ROOT.revision


@pytest.mark.parametrize(
    ("upload", "problem"),
    [
        (make_upload(SOURCE, DEB, by=signer("stranger")),
         "signature: .changes has no valid signature by a key of the uploaders"),
        (make_upload(SOURCE, DEB).with_files({DEB.file_name: None}), "files-are-here: greeter_1.0_amd64.deb is missing"),
        (make_upload(SOURCE, DEB, unlisted={"evil_1.0_amd64.deb": make_deb("evil", source="greeter").content}),
         "files-are-listed: evil_1.0_amd64.deb is not in .changes, so nobody has signed it"),
        (make_upload(SOURCE, DEB).with_files({DEB.file_name: make_deb("greeter", depends="evil").content}),
         "hashes-match: greeter_1.0_amd64.deb has another SHA-256 than .changes says"),
        (make_upload(SOURCE, replace(DEB, name="greet")), "names-match: greet_1.0_amd64.deb holds greeter_1.0_amd64.deb"),
        (make_upload(SOURCE, DEB, make_deb("other")), "names-match: other_1.0_amd64.deb is of source other, not greeter"),
        (make_upload(SOURCE, DEB, DATA, fields={"Architecture": "source amd64"}),
         "names-match: greeter-data_1.0_all.deb is for all, which .changes does not list"),
        (make_upload(make_source("greeter", "1.1"), DEB, fields={"Version": "1.0"}),
         "names-match: .dsc is of greeter 1.1, not of what .changes says"),
        (make_upload(SOURCE, DEB, fields={"Architecture": "source amd64 i386"}),
         "listed-architectures-have-debs: no file for architecture i386"),
        (make_upload(None, DEB), "has-its-source: no .dsc: devel has no source greeter, so its packages would be there without"),
        (make_upload(SOURCE, DEB, unlisted={"more_1.0.dsc": SOURCE.dsc}), "has-its-source: 2 .dsc files, want one"),
        (make_upload(SOURCE, make_deb("greeter", section="contrib/utils")),
         "belongs-into-the-archive: greeter_1.0_amd64.deb is for component contrib, the archive has main"),
        (make_upload(SOURCE, DEB, sections={SOURCE.dsc_name: "../utils"}),
         "belongs-into-the-archive: greeter_1.0.dsc is for component .., the archive has main"),
        (make_upload(SOURCE, DEB, make_deb("greeter", architecture="i386")),
         "belongs-into-the-archive: greeter_1.0_i386.deb is for i386, the archive has amd64"),
        (make_upload(SOURCE, make_deb("greeter", fields={"Maintainer": None})),
         "readable: greeter_1.0_amd64.deb: the control file of a package has 1 problem: Maintainer is missing"),
        (make_upload(SOURCE, make_deb("greeter", fields={"Version": None})),
         "readable: greeter_1.0_amd64.deb: "),
        (make_upload(SOURCE, make_deb("greeter", fields={"Version": "1_0"})),
         "readable: greeter_1.0_amd64.deb: "),
        (make_upload(SOURCE, make_deb("greeter", fields={"Source": "../../etc"})),
         "readable: greeter_1.0_amd64.deb: "),
        (make_upload(SOURCE, replace(DEB, content=DEB.content[:-20])),
         "readable: greeter_1.0_amd64.deb: 'data.tar.gz' is cut off: "),
        (make_upload(replace(SOURCE, fields={"Version": None}), DEB),
         "readable: greeter_1.0.dsc: a .dsc file has 1 problem: Version is missing"),
    ],
)  # fmt: skip
def test_each_wrong_thing_has_its_own_sentence(suite: Suite, upload: MadeUpload, problem: str) -> None:
    assert [line for line in suite.problems(upload) if line.startswith(problem)] != []


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"not signed", "signature: .changes is not one signed message"),
        (signer("uploader").sign_clear(b"Format: 1.8\n"), "readable: a .changes file has "),
        (make_upload(SOURCE, DEB, fields={"Source": "UPPER"}).changes, "readable: a .changes file has "),
        (make_upload(SOURCE, DEB).changes.replace(b"urgency=medium", b"urgency=medlum"),
         "signature: .changes has no valid signature"),
    ],
    ids=["unsigned", "empty", "bad name", "edited"],
)  # fmt: skip
def test_a_changes_file_that_cannot_be_trusted_or_read_is_the_only_problem(
    suite: Suite, content: bytes, problem: str
) -> None:
    [found] = suite.problems(replace(make_upload(SOURCE, DEB), changes=content))
    assert found.startswith(problem)


def test_a_source_whose_tar_is_not_the_one_it_names_is_rejected(suite: Suite) -> None:
    other = make_source("greeter", "1.0", text="another")
    rows = dict.fromkeys(("Checksums-Sha256", "Files"))
    lists = {
        name: "".join(f"\n {' '.join(row)}" for row in listed(SOURCE, other, weak=name == "Files")) for name in rows
    }
    upload = make_upload(SOURCE, DEB, fields=lists).with_files({SOURCE.tar_name: other.tar})
    assert suite.problems(upload) == ["source-is-whole: greeter_1.0.tar.gz has another SHA-256 than .dsc says"]


def listed(source: MadeSource, other: MadeSource, *, weak: bool) -> list[list[str]]:
    """List the .dsc of one source, the tar of another and DEB, as a signed .changes might."""
    import hashlib

    files = {source.dsc_name: source.dsc, source.tar_name: other.tar, DEB.file_name: DEB.content}
    digest = (lambda b: hashlib.md5(b, usedforsecurity=False)) if weak else hashlib.sha256
    more = ["utils", "optional"] if weak else []
    return [[digest(content).hexdigest(), str(len(content)), *more, name] for name, content in files.items()]


def without_tar(upload: MadeUpload) -> MadeUpload:
    """Leave the tar of SOURCE out, as an upload of a second revision does."""
    without = [line for line in upload.changes.decode().splitlines() if not line.endswith(SOURCE.tar_name)]
    text = "\n".join(without).partition("\n\n")[2].partition("\n-----BEGIN")[0] + "\n"
    changes = signer("uploader").sign_clear(text.encode())
    return replace(upload, changes=changes).with_files({SOURCE.tar_name: None})


def test_a_source_whose_tar_is_nowhere_is_rejected(suite: Suite) -> None:
    assert suite.problems(without_tar(make_upload(SOURCE, DEB))) == [
        "source-is-whole: greeter_1.0.tar.gz, which .dsc names, is neither here nor in the archive"
    ]


def test_a_tar_that_the_archive_has_counts_as_kept_from_the_moment_it_is_relied_on(suite: Suite) -> None:
    """Nothing may hold it by now: a collector must leave it alone until the suite that names it is written down."""
    upload, objects = without_tar(make_upload(SOURCE, DEB)), suite.context.objects
    tar = objects.put(SOURCE.tar)
    with suite.context.database.write() as tx:
        insert_pool_names(tx, "petrel", [(f"pool/main/g/greeter/{SOURCE.tar_name}", tar)])
    before = objects.touched_at(tar)
    suite.accept(upload)
    assert objects.touched_at(tar) > before


def test_everything_that_is_wrong_is_said_at_once(suite: Suite) -> None:
    suite.accept(upload_of("2.0"))
    wrong = make_upload(
        SOURCE, make_deb("other", section="contrib/utils"), make_deb("broken", source="greeter"),
        fields={"Architecture": "source amd64 i386"}, unlisted={"extra_1.0_all.deb": b"!<arch>\n"},
    ).with_files({"broken_1.0_amd64.deb": None, SOURCE.tar_name: b""})  # fmt: skip
    checks = [problem.partition(":")[0] for problem in suite.problems(wrong)]
    assert checks == [
        "readable",
        "files-are-here",
        "files-are-listed",
        "hashes-match",
        "names-match",
        "listed-architectures-have-debs",
        "source-is-whole",
        "belongs-into-the-archive",
        "version-is-newer",
    ]
    assert set(checks) - {"readable"} <= set(CHECKS)


@pytest.mark.parametrize("version", ["1.0", "1.0-0", "0:1.0", "1.0~rc1", "0.9"])
def test_a_version_that_is_not_newer_is_rejected_with_both_versions(suite: Suite, version: str) -> None:
    suite.accept(upload_of("1.0"))
    problems = suite.problems(
        make_upload(make_source("greeter", version, text="x"), make_deb("greeter", version, depends="xx"))
    )
    assert f"version-is-newer: greeter 1.0 is in devel already and not older than {version}" in problems


@pytest.mark.parametrize("version", ["1.0+1", "1.0-1", "1:0.1"])
def test_a_newer_version_by_the_order_of_dpkg_is_accepted(suite: Suite, version: str) -> None:
    suite.accept(upload_of("1.0"))
    assert suite.accept(upload_of(version)).values["version"] == version


def test_a_file_name_of_the_archive_keeps_its_content_in_every_component(tmp_path: Path) -> None:
    both = config().archives["petrel"].model_copy(update={"components": ("main", "contrib")})
    assert isinstance(both, OwnArchive)
    context = make_context(tmp_path)
    context.config = replace(context.config, archives={**context.config.archives, "petrel": both})
    add_suite(context, "devel")
    suite = Suite(context)
    plugin, other = (
        make_deb("plugin", "5", section="contrib/utils", source=f"greeter ({version})", depends=text)
        for version, text in (("1.0", ""), ("1.1", "xx"))
    )
    sections = {make_source("greeter", version).dsc_name: "contrib/utils" for version in ("1.0", "1.1")}
    suite.accept(make_upload(SOURCE, DEB, plugin, sections=sections))
    assert "Directory: pool/contrib/g/greeter\n" in suite.text("contrib/source")
    newer = make_upload(make_source("greeter", "1.1"), make_deb("greeter", "1.1"), other, sections=sections)
    assert suite.problems(newer) == [
        "same-name-same-content: plugin_5_amd64.deb is in the archive already, with other content"
    ]


def test_a_file_name_of_another_suite_of_the_archive_keeps_its_content(suite: Suite) -> None:
    suite.accept(upload_of("1.0"))
    add_suite(suite.context, "topic")
    revision = suite.state().revision
    empty = suite.context.objects.put(EMPTY_ROOT.to_bytes())
    with suite.context.database.write() as tx:
        move_suite(tx, get_suite(tx, "petrel", "topic"), revision, suite.context.clock)
        move_suite(tx, get_suite(tx, "petrel", "devel"), empty, suite.context.clock)
    other = make_upload(make_source("greeter", "1.0", text="other"), make_deb("greeter", "1.0", depends="other"))
    assert suite.problems(other) == [
        f"same-name-same-content: {name} is in the archive already, with other content"
        for name in ("greeter_1.0_amd64.deb", "greeter_1.0.dsc", "greeter_1.0.tar.gz")
    ]


def test_a_file_that_is_published_keeps_its_content_even_if_no_suite_names_it(suite: Suite) -> None:
    suite.accept(make_upload(SOURCE, make_deb("greeter", "1.0", depends="xx")))
    empty = suite.context.objects.put(EMPTY_ROOT.to_bytes())
    with suite.context.database.write() as tx:
        move_suite(tx, get_suite(tx, "petrel", "devel"), empty, suite.context.clock)
    assert suite.problems(make_upload(SOURCE, DEB)) == [
        "same-name-same-content: greeter_1.0_amd64.deb is in the archive already, with other content"
    ]


def test_a_rejected_upload_may_come_again_when_the_configuration_was_what_was_wrong(suite: Suite) -> None:
    upload = make_upload(SOURCE, DEB)
    table = suite.context.config.archives["petrel"]
    wrong = table.model_copy(update={"architectures": ("i386",)})
    suite.context.config = replace(suite.context.config, archives={**suite.context.config.archives, "petrel": wrong})
    assert suite.problems(upload)
    suite.context.config = replace(suite.context.config, archives={**suite.context.config.archives, "petrel": table})
    assert suite.accept(upload).values["version"] == "1.0"


def test_what_an_upload_takes_away_leaves_a_tombstone_until_something_newer_comes(suite: Suite) -> None:
    suite.accept(make_upload(SOURCE, DEB, DATA))
    suite.accept(upload_of("1.1"))
    root = parse_root(suite.context.objects.read(suite.state().revision))
    assert root.tombstones == (Tombstone("main/binary-all", "greeter-data", DebVersion("1.0")),)
    newer = make_deb("greeter-data", "1.2", architecture="all", source="greeter")
    suite.accept(upload_of("1.2", newer))
    assert parse_root(suite.context.objects.read(suite.state().revision)).tombstones == ()


def test_long_descriptions_come_and_go_with_their_packages(suite: Suite) -> None:
    suite.accept(make_upload(SOURCE, DEB, DATA))
    assert suite.text("main/i18n") == "".join(
        f"Package: {deb.name}\nDescription-md5: {description_md5(deb)}\nDescription-en: {deb.name} of a small world\n"
        " It exists to be looked at.\n\n"
        for deb in (DEB, DATA)
    )
    suite.accept(upload_of("1.1"))
    assert [line for line in suite.text("main/i18n").splitlines() if line.startswith("Package")] == ["Package: greeter"]
    with suite.context.database.read() as tx:
        [second, first] = list_revisions(tx, "petrel", "devel")
    assert (second.before, second.after, second.action) == (first.after, suite.state().revision, "upload")
    assert (second.reason, second.actor) == ("greeter 1.1", f"key {signer('uploader').fingerprints[0]}")


# Packages without their source, and sources without packages


ARM = make_deb("greeter", "1.0", architecture="arm64")
LISTS = {"amd64": "main/binary-amd64", "arm64": "main/binary-arm64", "all": "main/binary-all", "source": "main/source"}


def with_arm64(suite: Suite) -> Suite:
    """Let the archive have a second architecture."""
    table = suite.context.config.archives["petrel"].model_copy(update={"architectures": ("amd64", "arm64")})
    suite.context.config = replace(suite.context.config, archives={**suite.context.config.archives, "petrel": table})
    return suite


def having(**versions: str) -> list[tuple[str, str, str]]:
    """Say what a suite has of the source greeter: by architecture, with `data` for greeter-data."""
    rows = [
        ("main/binary-all", "greeter-data", version) if name == "data" else (LISTS[name], "greeter", version)
        for name, version in versions.items()
    ]
    return sorted(rows)


def test_packages_of_another_architecture_come_after_their_source(suite: Suite) -> None:
    with_arm64(suite).accept(make_upload(SOURCE, DEB, DATA))
    suite.accept(make_upload(None, ARM))
    assert suite.names() == having(data="1.0", amd64="1.0", arm64="1.0", source="1.0")
    assert parse_root(suite.context.objects.read(suite.state().revision)).tombstones == ()
    older = make_upload(None, make_deb("greeter", "0.9", architecture="arm64"))
    assert [line for line in suite.problems(older) if line.startswith("has-its-source")] == [
        "has-its-source: no .dsc: devel has greeter 1.0, not 0.9, so its packages would be there without their source"
    ]


def test_a_rebuild_without_its_source_replaces_the_packages_of_its_architecture_only(suite: Suite) -> None:
    more = make_deb("greeter-more", "1.0", source="greeter", architecture="arm64")
    with_arm64(suite).accept(make_upload(SOURCE, DEB, DATA))
    suite.accept(make_upload(None, ARM, more))
    again = make_deb("greeter", "1.0+b1", source="greeter (1.0)", architecture="arm64")
    suite.accept(make_upload(None, again, fields={"Source": "greeter (1.0)"}))
    assert suite.names() == having(data="1.0", amd64="1.0", arm64="1.0+b1", source="1.0")
    rebuilt = make_deb("greeter", "1.0+b2", source="greeter (1.0)")
    suite.accept(make_upload(None, rebuilt, fields={"Source": "greeter (1.0)"}))
    assert suite.names() == having(data="1.0", amd64="1.0+b2", arm64="1.0+b1", source="1.0")
    back = make_deb("greeter", "1.0+b1", source="greeter (1.0)", fields={"Section": "misc"})
    assert suite.problems(make_upload(None, back, fields={"Source": "greeter (1.0)"})) == [
        "version-is-newer: greeter 1.0+b2 is in devel already and not older than 1.0+b1"
    ]


def test_a_package_that_comes_for_one_architecture_leaves_those_for_all(suite: Suite) -> None:
    with_arm64(suite).accept(make_upload(SOURCE, DEB, DATA))
    single = make_deb("greeter-data", "1.0", source="greeter", architecture="arm64")
    suite.accept(make_upload(None, single))
    assert ("main/binary-all", "greeter-data", "1.0") not in suite.names()
    assert ("main/binary-arm64", "greeter-data", "1.0") in suite.names()


def test_a_source_without_packages_leaves_the_old_ones_until_new_ones_are_built(suite: Suite) -> None:
    suite.accept(make_upload(SOURCE, DEB, DATA))
    source = make_source("greeter", "1.1")
    suite.accept(make_upload(source))
    assert suite.names() == having(data="1.0", amd64="1.0", source="1.1")
    accepted = [event for event in suite.context.events() if event.kind is EventKind.UPLOAD_ACCEPTED]
    assert ["source_files" in event.body for event in accepted] == [False, True]
    assert accepted[-1].body["source_files"] == {name: sha256_of(content) for name, content in source.files.items()}
    built = make_deb("greeter", "1.1")
    data = make_deb("greeter-data", "1.1", source="greeter", architecture="all")
    suite.accept(make_upload(None, built, data))
    assert suite.names() == having(data="1.1", amd64="1.1", source="1.1")


def description_md5(deb: MadeDeb) -> str:
    text = f"{deb.name} of a small world\n It exists to be looked at.\n"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def test_an_upload_that_lost_a_race_is_busy_and_loses_nothing(suite: Suite) -> None:
    """Another upload is accepted between the look at the suite and the write."""
    rival, ours = make_upload(make_source("rival"), make_deb("rival")), upload_of("1.0")

    def accept_rival() -> None:
        suite.context.when_asked_the_time = None
        suite.accept(rival)

    suite.context.when_asked_the_time = accept_rival
    with pytest.raises(Busy, match="suite petrel/devel has changed meanwhile"):
        suite.accept(ours)
    assert [name for _, name, _ in suite.names()] == ["rival", "rival"]
    assert [verdict.source for verdict in suite.uploads()] == ["rival"]
    suite.accept(ours)
    assert sorted({name for _, name, _ in suite.names()}) == ["greeter", "rival"]


def test_a_key_that_may_not_upload_now_may_not_upload(suite: Suite) -> None:
    [problem] = suite.problems(make_upload(SOURCE, DEB), signers=signer("stranger").certificate())
    assert problem.startswith("signature: ")


def test_files_of_an_upload_are_named_by_digest_in_its_order() -> None:
    files: Mapping[str, Sha256] = {DEB.file_name: DEB.sha256}
    order = accept_order(
        config(), "devel", changes=DEB.sha256, files=files, signers=b"key", source="greeter", version="1.0"
    )
    assert order.inputs == {
        "archive": "petrel", "suite": "devel", "changes": DEB.sha256, "files": dict(files), "signers": "key",
    }  # fmt: skip
    assert order.title == "accept greeter 1.0 into devel"
