"""The control files of uploads and builds: .dsc, .changes, .buildinfo."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from debian.deb822 import BuildInfo as OracleBuildInfo
from debian.deb822 import Changes as OracleChanges
from tests.unit.formats.worlds import BUILDINFO, CHANGES, DSC

from distwright.errors import BadInput
from distwright.formats.buildinfo import BuildInfo, parse_buildinfo
from distwright.formats.changes import Changes, UploadFile, parse_changes
from distwright.formats.deb822 import parse_one
from distwright.formats.dsc import Dsc, parse_dsc
from distwright.formats.values import FileHash
from distwright.model.digests import Sha256
from distwright.model.versions import DebVersion

VERSION = DebVersion("1:1.2-3")


def test_a_dsc_is_read_whole() -> None:
    assert parse_dsc(DSC) == Dsc(
        format="3.0 (quilt)",
        source="petrel",
        version=VERSION,
        binaries=("petrel-greeter", "petrel-data"),
        architectures=("any", "all"),
        maintainer="Ada Lovelace <ada@example.org>",
        files=(
            FileHash("petrel_1.2.orig.tar.xz", 1000, Sha256("3" * 64), "5" * 32, "1" * 40),
            FileHash("petrel_1.2-3.debian.tar.xz", 200, Sha256("4" * 64), "6" * 32, "2" * 40),
        ),
        stanza=parse_one(DSC),
    )


def test_a_changes_file_is_read_whole() -> None:
    assert parse_changes(CHANGES) == Changes(
        source="petrel",
        source_version=VERSION,
        version=VERSION,
        binaries=("petrel-data", "petrel-greeter"),
        architectures=("source", "amd64"),
        distribution="devel",
        date=datetime(2026, 11, 23, 10, tzinfo=timezone(timedelta(hours=1))),
        urgency="medium",
        maintainer="Ada Lovelace <ada@example.org>",
        changed_by="Charles Babbage <charles@example.org>",
        description="\n petrel-greeter - greets whoever starts the live system",
        changes="\n petrel (1:1.2-3) devel; urgency=medium\n .\n   * Greet in French. (Closes: #17, #4711)",
        closes=(17, 4711),
        files=(
            UploadFile("petrel_1.2-3.dsc", 1234, "5" * 32, "1" * 40, Sha256("3" * 64), "utils", "optional"),
            UploadFile(
                "petrel-greeter_1.2-3_amd64.deb", 5678, "6" * 32, "2" * 40, Sha256("4" * 64), "utils", "optional"
            ),
        ),
        stanza=parse_one(CHANGES),
    )
    assert parse_changes(CHANGES).files[0].as_hash() == FileHash(
        "petrel_1.2-3.dsc", 1234, Sha256("3" * 64), "5" * 32, "1" * 40
    )


def test_files_of_a_changes_file_are_those_that_python_debian_reads() -> None:
    ours = [(file.name, str(file.size), file.md5, file.section, file.priority) for file in parse_changes(CHANGES).files]
    oracle = OracleChanges(CHANGES)["Files"]
    assert ours == [tuple(row[key] for key in ("name", "size", "md5sum", "section", "priority")) for row in oracle]


def test_an_upload_of_source_only_needs_no_binaries_and_no_sha1() -> None:
    head, _, tail = CHANGES.partition(b"Checksums-Sha1:\n")
    only = head.replace(b"Binary: petrel-data petrel-greeter\n", b"").partition(b"Description:")[0]
    changes = parse_changes(only + b"Changes: x\n" + tail.partition(b".deb\n")[2])
    assert (changes.binaries, changes.description, changes.closes) == ((), "", ())
    assert [file.sha1 for file in changes.files] == [None, None]


def test_a_binary_only_rebuild_names_the_version_of_its_source() -> None:
    data = CHANGES.replace(b"Source: petrel\n", b"Source: petrel (1:1.2-2)\n")
    assert (parse_changes(data).version, parse_changes(data).source_version) == (VERSION, DebVersion("1:1.2-2"))


def test_a_buildinfo_is_read_whole() -> None:
    assert parse_buildinfo(BUILDINFO) == BuildInfo(
        source="petrel",
        source_version=VERSION,
        version=DebVersion("1:1.2-3+b1"),
        binaries=("petrel-greeter",),
        architectures=("amd64",),
        checksums=(FileHash("petrel-greeter_1.2-3+b1_amd64.deb", 5678, Sha256("4" * 64), "6" * 32),),
        build_origin="Debian",
        build_architecture="amd64",
        build_date=datetime(2026, 11, 23, 10, tzinfo=UTC),
        build_path="/build/petrel-1.2",
        installed_build_depends=(
            ("base-files", DebVersion("12.4+deb12u5")),
            ("libc6-dev:amd64", DebVersion("2.36-9")),
        ),
        environment={
            "DEB_BUILD_OPTIONS": "parallel=2",
            "LANG": "C.UTF-8",
            "ODD": 'a "quoted" \\ thing = here',
        },
        stanza=parse_one(BUILDINFO),
    )


def test_the_environment_of_a_build_is_what_python_debian_reads() -> None:
    plain = "\n".join(line for line in BUILDINFO.decode().split("\n") if "ODD" not in line)
    assert parse_buildinfo(plain.encode()).environment == dict(OracleBuildInfo(plain).get_environment())


def test_all_problems_of_a_changes_file_are_told_at_once() -> None:
    with pytest.raises(BadInput) as caught:
        parse_changes(b"Source: UP\nVersion: 1_0\nDate: today\nChanges:\nArchitecture: source\nMaintainer: a\n")
    assert caught.value.message == (
        "a .changes file has 8 problems:\n"
        "  Format is missing\n"
        "  Source: 'UP' is not a package name\n"
        "  Version: '1_0' is not a Debian version\n"
        "  Distribution is missing\n"
        "  Date: 'today' is not a date\n"
        "  Changes is empty\n"
        "  Files is missing\n"
        "  Checksums-Sha256 is missing"
    )


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b" petrel_1.2-3.dsc", b" ../petrel_1.2-3.dsc", "cannot be the name of an uploaded file"),
        (b" petrel_1.2-3.dsc", b" .petrel", "cannot be the name of an uploaded file"),
        (b" 1234 petrel", b" 12345678901234567890 petrel", "is not a number"),
        (b"1234 utils optional petrel", b"1235 utils optional petrel", "the lists of MD5 and of SHA-256 differ"),
        (b"1111 1234", b"1111 1235", "the lists of SHA-1 and of SHA-256 differ about 'petrel_1.2-3.dsc'"),
        (b"utils optional petrel-greeter_1.2-3_amd64.deb", b"utils optional petrel_1.2-3.dsc", "listed twice"),
        (b"1234 utils optional", b"1234 utils", "has 4 columns"),
        (b"Closes: 17 4711", b"Closes: 17 x", "'x' is not a number"),
        (b"Binary: petrel-data", b"Binary: Petrel", "'Petrel' is not a package name"),
        (b" 5555", b" 555", "is not an MD5"),
        (b" 1111", b" 111", "is not a SHA-1"),
    ],
)
def test_hostile_changes_files_are_refused(old: bytes, new: bytes, problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        parse_changes(CHANGES.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b"(= 12.4+deb12u5)", b"(>= 12.4)", "is not an installed package"),
        (b'LANG="C.UTF-8"', b"LANG=C.UTF-8", "does not set a new variable"),
        (b"LANG=", b"ODD=", "does not set a new variable"),
        (b'thing = here"', b'thing = here\\"', "does not set a new variable"),
        (b"Build-Architecture: amd64", b"Build-Architecture: AMD 64", "is not an architecture"),
        (b"Installed-Build-Depends:\n", b"Installed-Builds:\n", "Installed-Build-Depends is missing"),
    ],
)
def test_hostile_buildinfo_files_are_refused(old: bytes, new: bytes, problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        parse_buildinfo(BUILDINFO.replace(old, new))


def test_all_problems_of_a_dsc_are_told_at_once() -> None:
    with pytest.raises(BadInput) as caught:
        parse_dsc(DSC.replace(b"Format: 3.0 (quilt)\n", b"").replace(b"200 petrel_1.2-3.debian", b"201 ./", 1))
    assert caught.value.message == (
        "a .dsc file has 2 problems:\n"
        "  Format is missing\n"
        "  Checksums-Sha1: './.tar.xz' cannot be the name of an uploaded file"
    )


@pytest.mark.parametrize("sign", ["\x01", "\x0c", "\x1b", "\x7f"])
def test_control_characters_are_refused(sign: str) -> None:
    problem = rf"Maintainer has the control character U\+{ord(sign):04X}"
    for parse, text in ((parse_dsc, DSC), (parse_changes, CHANGES)):
        with pytest.raises(BadInput, match=problem):
            parse(text.replace(b"Ada Lovelace", f"Ada{sign}Lovelace".encode()))
        assert parse(text.replace(b"Ada Lovelace", b"Ada\tLovelace")).maintainer.startswith("Ada\tLovelace")
