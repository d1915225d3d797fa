"""What is asked of an upload from outside: each wrong thing is refused by its check, in a sentence that names it."""

import gzip
import hashlib
import io
import lzma
import subprocess
import tarfile
from email.utils import format_datetime
from pathlib import Path

import pytest
from tests.worlds.archive import MadeDeb, MadeSource, MadeUpload, make_deb, make_source, make_upload, signer
from tests.worlds.installation import make_context
from tests.worlds.keys import key_file
from tests.worlds.times import DATE, DAY, NOW
from tests.worlds.uploads import Suite, add_suite

from distwright.archive.content_checks import CONTENT_CHECKS
from distwright.archive.deb_survey import survey_deb
from distwright.archive.upload_checks import CHECKS
from distwright.errors import BadInput
from distwright.model.events import EventKind
from distwright.store.holds import all_holds

SOURCE, DEB = make_source("greeter", "1.0"), make_deb("greeter", "1.0")


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    context = make_context(tmp_path)
    add_suite(context, "devel")
    return Suite(context)


def data_tar(*members: tuple[str, int], link: str = "", form: int = tarfile.GNU_FORMAT) -> tuple[str, bytes]:
    """Give a data.tar.xz with empty files of these names and times; link: the first is a hard link to this."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, mtime in members:
            member = tarfile.TarInfo(name)
            member.mtime = mtime
            if link:
                member.type, member.linkname = tarfile.LNKTYPE, link
            tar.addfile(member)
    return "data.tar.xz", lzma.compress(out.getvalue())


PAST = int(DATE.timestamp())


def odd(*members: tuple[str, int], link: str = "") -> MadeUpload:
    return make_upload(SOURCE, make_deb("greeter", data=data_tar(*members, link=link)))


def buildinfo(source: str = "greeter", *debs: MadeDeb, version: str = "1.0", digest: str = "") -> dict[str, bytes]:
    rows = "".join(
        f"\n {digest or hashlib.sha256(deb.content).hexdigest()} {len(deb.content)} {deb.file_name}" for deb in debs
    )
    text = (
        f"Format: 1.0\nSource: {source}\nBinary: greeter\nArchitecture: amd64\nVersion: {version}\nChecksums-Sha256:{rows}\n"
        "Build-Architecture: amd64\nInstalled-Build-Depends:\n base-files (= 12)\n"
    )
    return {"greeter_1.0_amd64.buildinfo": text.encode()}


def signed_dsc(by: str, source: MadeSource = SOURCE) -> dict[str, bytes]:
    return {source.dsc_name: signer(by).sign_clear(source.dsc)}


def quilt(version: str = "1.0-1", *, orig: str = "greeter_1.0.orig.tar.gz") -> MadeUpload:
    """Upload a source of format 3.0 (quilt) whose upstream tar has this name."""
    plain = version.partition(":")[2] or version
    parts = (
        {orig: b"orig", f"greeter_{plain}.debian.tar.xz": b"debian"} if orig else {"greeter_1.0-1.debian.tar.xz": b"d"}
    )
    rows = {name: (hashlib.sha256(text).hexdigest(), len(text)) for name, text in parts.items()}
    sums = "".join(f"\n {digest} {size} {name}" for name, (digest, size) in rows.items())
    md5s = "".join(
        f"\n {hashlib.md5(text, usedforsecurity=False).hexdigest()} {len(text)} {name}" for name, text in parts.items()
    )
    source = make_source("greeter", version, fields={"Format": "3.0 (quilt)", "Checksums-Sha256": sums, "Files": md5s})
    deb = make_deb("greeter", version)
    made = make_upload(source, deb, more=parts)
    listed = [line for line in made.changes.decode().split("\n") if source.tar_name not in line]
    text = "\n".join(listed).partition("\n\n")[2].partition("\n-----BEGIN")[0] + "\n"
    changes = signer("uploader").sign_clear(text.encode())
    return MadeUpload(made.changes_name, changes, {n: c for n, c in made.files.items() if n != source.tar_name})


@pytest.mark.parametrize(
    ("upload", "problem"),
    [
        (make_upload(SOURCE, DEB, distribution="stable"), "is-for-this-suite: Distribution is stable, and this is devel"),
        (make_upload(SOURCE, DEB, distribution="devel stable"), "is-for-this-suite: Distribution names 2 suites, want one"),
        (make_upload(SOURCE, DEB, fields={"Date": format_datetime(NOW + 2 * DAY)}),
         "not-from-the-future: Date of .changes is 2024-01-12 15:00, in the future"),
        (make_upload(SOURCE, DEB, more=signed_dsc("stranger")),
         "same-key: greeter_1.0.dsc has no valid signature by a key of the uploaders"),
        (make_upload(SOURCE, DEB, more={"evil.sh": b"rm"}),
         "kinds-are-known: evil.sh is neither a package, a file of the source nor a .buildinfo"),
        (make_upload(SOURCE, make_deb("greeter", "99")),
         "names-match: greeter_99_amd64.deb is of version 99 of its source, not 1.0"),
        (make_upload(SOURCE, DEB, make_deb("greeter", "2.0", source="greeter (1.0)")),
         "packages-are-there-once: greeter is there 2 times for amd64"),
        (make_upload(SOURCE, DEB, make_deb("greeter", architecture="all")),
         "packages-are-there-once: greeter is there for all architectures and for one"),
        (make_upload(SOURCE, make_deb("greeter", depends="libc6 (2.36)")),
         "relations-can-be-read: greeter_1.0_amd64.deb: Depends: 'libc6 (2.36)' is not a relation to a package"),
        (make_upload(SOURCE, make_deb("greeter", fields={"Provides": "mail (>= 1)"})),
         "relations-can-be-read: greeter_1.0_amd64.deb: Provides: a version here is written with ="),
        (make_upload(SOURCE, make_deb("greeter", fields={"Conflicts": "aa | bb"})),
         "relations-can-be-read: greeter_1.0_amd64.deb: Conflicts: 'aa | bb' gives a choice, which this field does not know"),
        (make_upload(make_source("greeter", fields={"Build-Depends": "gcc [amd64"}), DEB),
         "relations-can-be-read: .dsc: Build-Depends: 'gcc [amd64' is not a relation to a package"),
        (make_upload(SOURCE, make_deb("greeter", fields={"Multi-Arch": "some"})),
         "fields-are-sound: greeter_1.0_amd64.deb: Multi-Arch is 'some'"),
        (make_upload(SOURCE, make_deb("greeter", architecture="all", fields={"Multi-Arch": "same"})),
         "fields-are-sound: greeter_1.0_all.deb: Multi-Arch is same in a package for all architectures"),
        (make_upload(SOURCE, make_deb("greeter", fields={"Installed-Size": "-1"})),
         "fields-are-sound: greeter_1.0_amd64.deb: Installed-Size is '-1'"),
        (make_upload(make_source("greeter", "v1"), make_deb("greeter", "v1")),
         "versions-begin-with-a-digit: version v1 does not begin with a digit"),
        (make_upload(SOURCE, DEB, fields={"Binary": "other"}),
         "names-are-announced: greeter_1.0_amd64.deb is not among the Binary packages of .changes"),
        (odd(("./a", PAST + 100 * 24 * 3600)), "times-are-possible: greeter_1.0_amd64.deb: './a' is from the future"),
        (odd(("./a", 1000)), "times-are-possible: greeter_1.0_amd64.deb: './a' is older than 1975"),
        (odd(("/etc/passwd", PAST)), "names-stay-inside: greeter_1.0_amd64.deb: '/etc/passwd' is an absolute path"),
        (odd(("./a/../../b", PAST)), "names-stay-inside: greeter_1.0_amd64.deb: './a/../../b' leaves its folder"),
        (odd(("./a", PAST), link="../../etc/shadow"),
         "names-stay-inside: greeter_1.0_amd64.deb: './a' is a hard link to a place outside of the package"),
        (make_upload(SOURCE, make_deb("greeter", data=("data.tar.bz2", b"BZh"))),
         "readable: greeter_1.0_amd64.deb: data.tar.bz2 is packed in a way that is not taken"),
        (make_upload(SOURCE, make_deb("greeter", data=("data.tar.xz", data_tar(("./a", PAST))[1][:-9]))),
         "readable: greeter_1.0_amd64.deb: data.tar.xz: .xz data is cut off"),
        (make_upload(make_source("greeter", fields={"Format": "2.0"}), DEB),
         "source-format-is-whole: '2.0' is not a source format"),
        (make_upload(make_source("greeter", fields={"Format": "3.0 (quilt)"}), DEB),
         "source-format-is-whole: .dsc names 0 files as orig tar, want one"),
        (quilt(orig=""), "source-format-is-whole: .dsc names 0 files as orig tar, want one"),
        (quilt(orig="greeter_0.9.orig.tar.gz"), "source-format-is-whole: .dsc names 0 files as orig tar, want one"),
        (make_upload(SOURCE, DEB, more=buildinfo("other", DEB)), "buildinfo-agrees: greeter_1.0_amd64.buildinfo is of other 1.0"),
        (make_upload(SOURCE, DEB, more=buildinfo("greeter", DEB, version="2.0")),
         "buildinfo-agrees: greeter_1.0_amd64.buildinfo is of greeter 2.0"),
        (make_upload(SOURCE, DEB, more=buildinfo("greeter", DEB, digest="0" * 64)),
         "buildinfo-agrees: greeter_1.0_amd64.buildinfo says another SHA-256 of greeter_1.0_amd64.deb"),
        (make_upload(SOURCE, DEB, more={"greeter_1.0_amd64.buildinfo": b"Format: 1.0\n"}),
         "readable: greeter_1.0_amd64.buildinfo: a .buildinfo file has"),
    ],
)  # fmt: skip
def test_each_wrong_thing_is_refused_by_its_check(suite: Suite, upload: MadeUpload, problem: str) -> None:
    problems = suite.problems(upload)
    assert [line for line in problems if line.startswith(problem)] != [], problems


def test_md5_and_sha1_of_a_listed_file_must_be_right_too(suite: Suite) -> None:
    made = make_upload(SOURCE, DEB)
    md5 = hashlib.md5(DEB.content, usedforsecurity=False).hexdigest()
    text = made.changes.decode().replace(md5, "0" * 32).partition("\n\n")[2].partition("\n-----BEGIN")[0] + "\n"
    wrong = MadeUpload(made.changes_name, signer("uploader").sign_clear(text.encode()), made.files)
    assert suite.problems(wrong) == ["hashes-match: greeter_1.0_amd64.deb has another MD5 than .changes says"]


def test_a_source_signed_by_the_same_key_and_a_record_of_the_build_are_taken_and_the_record_is_kept(
    suite: Suite,
) -> None:
    suite.accept(make_upload(SOURCE, DEB, more={**signed_dsc("uploader"), **buildinfo("greeter", DEB)}))
    with suite.context.database.read() as tx:
        kept = [hold.reason for hold in all_holds(tx) if hold.holder == "buildinfo petrel/greeter 1.0"]
    assert kept == ["greeter_1.0_amd64.buildinfo"]


def with_udeb(version: str = "1.0", *, name: str = "greeter-udeb", called: str = "") -> MadeUpload:
    """Upload a source of this version with a package and one for the installer."""
    udeb = make_deb(name, version, source="greeter", section="debian-installer")
    called = called or udeb.file_name.replace(".deb", ".udeb")
    return make_upload(
        make_source("greeter", version), make_deb("greeter", version), more={called: udeb.content},
        fields={"Binary": f"greeter {name}"}, sections={called: "debian-installer"},
    )  # fmt: skip


def test_a_package_of_the_installer_goes_into_its_list_and_has_no_translation(suite: Suite) -> None:
    for version in ("1.0", "1.1"):
        suite.accept(with_udeb(version))
        assert suite.names() == [
            ("main/binary-amd64", "greeter", version),
            ("main/debian-installer/binary-amd64", "greeter-udeb", version),
            ("main/source", "greeter", version),
        ]
    pool = "pool/main/g/greeter/greeter-udeb_1.1_amd64.udeb"
    assert f"\nFilename: {pool}\n" in suite.text("main/debian-installer/binary-amd64")
    assert "Package: greeter-udeb" not in suite.text("main/i18n")
    changed = [event for event in suite.context.events() if event.kind is EventKind.SUITE_CHANGED]
    assert changed[-1].body["added"] == ["greeter"], "apt installs what is named there"
    suite.accept(make_upload(make_source("greeter", "1.2"), make_deb("greeter", "1.2")))
    assert [name for _, name, _ in suite.names()] == ["greeter", "greeter"]


def test_a_package_of_the_installer_is_asked_what_every_package_is(suite: Suite) -> None:
    wrong = suite.problems(with_udeb(called="greeter-udeb_2.0_amd64.udeb"))
    assert wrong == ["names-match: greeter-udeb_2.0_amd64.udeb holds greeter-udeb_1.0_amd64.udeb"]
    suite.accept(with_udeb("2.0"))
    assert "version-is-newer: greeter-udeb 2.0 is in devel already and not older than 1.0" in suite.problems(
        with_udeb()
    )


def test_a_quilt_source_is_taken_and_a_later_one_may_leave_its_upstream_tar_out(suite: Suite) -> None:
    suite.accept(quilt("1.0-1"))
    later = quilt("1.0-2")
    listed = [line for line in later.changes.decode().split("\n") if "orig" not in line]
    text = "\n".join(listed).partition("\n\n")[2].partition("\n-----BEGIN")[0] + "\n"
    suite.accept(
        MadeUpload(
            later.changes_name,
            signer("uploader").sign_clear(text.encode()),
            {name: content for name, content in later.files.items() if "orig" not in name},
        )
    )
    assert ("main/source", "greeter", "1.0-2") in suite.names()


def test_an_upload_of_source_only_is_taken(suite: Suite) -> None:
    suite.accept(make_upload(SOURCE, fields={"Architecture": "source", "Binary": None}))
    assert suite.names() == [("main/source", "greeter", "1.0")]


def test_what_was_accepted_is_not_accepted_again_whatever_stands_around_it(suite: Suite) -> None:
    """A replay after the package has gone: the text is the same, the armour is another."""
    made = make_upload(SOURCE, DEB)
    suite.accept(made)
    text = made.changes.partition(b"\n\n")[2].partition(b"\n-----BEGIN")[0] + b"\n"
    again = MadeUpload(made.changes_name, signer("uploader").sign_clear(text) + b"\n", made.files)
    [seen, *_] = suite.problems(again)
    assert seen == "not-seen-before: this was accepted already on 2024-01-10 15:00 into devel"


def test_a_signature_by_a_weak_digest_counts_for_nothing(suite: Suite, tmp_path: Path) -> None:
    home = tmp_path / "gpg"
    home.mkdir(mode=0o700)
    made = make_upload(SOURCE, DEB)
    text = made.changes.partition(b"\n\n")[2].partition(b"\n-----BEGIN")[0] + b"\n"
    argv = ["gpg", "--homedir", str(home), "--batch", "--quiet"]
    subprocess.run([*argv, "--import"], input=key_file("uploader"), check=True)
    sign = [*argv, "--allow-weak-digest-algos", "--digest-algo", "SHA1", "--clearsign"]
    weak = subprocess.run(sign, input=text, stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "gpg-agent"], check=False)
    [problem] = suite.problems(MadeUpload(made.changes_name, weak, made.files))
    assert problem.startswith(("strong-digests: .changes is signed with SHA1", "signature: "))


def test_a_package_of_the_suite_never_goes_back(suite: Suite) -> None:
    suite.accept(make_upload(SOURCE, DEB, make_deb("greeter-data", "5", source="greeter (1.0)")))
    older = make_deb("greeter-data", "4", source="greeter (1.1)")
    assert suite.problems(make_upload(make_source("greeter", "1.1"), make_deb("greeter", "1.1"), older)) == [
        "version-is-newer: greeter-data 5 is in devel already and not older than 4"
    ]


def test_a_bomb_is_refused_after_no_more_than_its_size_deserves() -> None:
    bomb = make_deb("greeter", data=("data.tar.gz", gzip.compress(bytes(256 << 20), 9)))
    assert len(bomb.content) < 1 << 19
    with pytest.raises(BadInput, match=r"goes on after|unpacks to more than"):
        survey_deb(io.BytesIO(bomb.content))


def test_every_check_says_why_it_is_asked() -> None:
    assert all((check.__doc__ or "").endswith(".") for check in CHECKS.values())
    assert CONTENT_CHECKS.items() <= CHECKS.items()
