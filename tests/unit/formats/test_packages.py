"""Packages and Sources indexes."""

import pytest
from tests.unit.formats.worlds import CONTROL, DSC, PACKAGES, md5_hex

from distwright.errors import BadInput
from distwright.formats.deb822 import parse_one, raw_stanzas, write_stanza
from distwright.formats.dsc import parse_dsc
from distwright.formats.packages import (
    PackageEntry,
    iter_packages,
    iter_pool_files,
    package_entry,
    package_stanza,
    translation_stanza,
)
from distwright.formats.sources import (
    SourceEntry,
    iter_source_files,
    iter_sources,
    source_entry,
    source_stanza,
)
from distwright.formats.values import FileHash
from distwright.model.digests import Sha256
from distwright.model.versions import DebVersion

DEB_SHA256 = Sha256("ab" * 32)
DSC_FILE = FileHash("petrel_1.2-3.dsc", 1234, Sha256("9" * 64), "0" * 32)
STANZA = f"""\
Package: petrel-greeter
Source: petrel (1.2-3)
Version: 1:1.2-3+b1
Installed-Size: 42
Maintainer: Ada Lovelace <ada@example.org>
Architecture: amd64
Depends: libc6 (>= 2.34), petrel-data (= 1:1.2-3)
Description: greets whoever starts the live system
Multi-Arch: foreign
Homepage: https://example.org/petrel
Description-md5: {{md5}}
Section: utils
Priority: optional
Filename: pool/main/p/petrel/petrel-greeter_1.2-3+b1_amd64.deb
Size: 5678
MD5sum: {"cd" * 16}
SHA256: {"ab" * 32}
"""
DESCRIPTION = """\
greets whoever starts the live system
 The greeter asks for language and keyboard, and then
 .
  * shows where help is
"""


def greeter(control: bytes = CONTROL, extra: tuple[tuple[str, str], ...] = ()) -> bytes:
    return package_stanza(
        parse_one(control),
        filename="pool/main/p/petrel/petrel-greeter_1.2-3+b1_amd64.deb",
        size=5678,
        md5="cd" * 16,
        sha256=DEB_SHA256,
        extra=extra,
    )


def test_an_index_of_debian_is_read_whole() -> None:
    first, second = raw_stanzas(PACKAGES)
    assert list(iter_packages(PACKAGES)) == [
        PackageEntry(
            name="0ad",
            version=DebVersion("0.0.26-3"),
            architecture="amd64",
            source="0ad",
            source_version=DebVersion("0.0.26-3"),
            filename="pool/main/0/0ad/0ad_0.0.26-3_amd64.deb",
            size=7891488,
            sha256=Sha256("3a2118df47bf3f04285649f0455c2fc6fe2dc7f0b237073038aa00af41f0d5f2"),
            section="games",
            raw=first,
        ),
        PackageEntry(
            name="0ad-data-common",
            version=DebVersion("0.0.26-1+b2"),
            architecture="all",
            source="0ad-data",
            source_version=DebVersion("0.0.26-1"),
            filename="pool/main/0/0ad-data/0ad-data-common_0.0.26-1_all.deb",
            size=779908,
            sha256=Sha256("0a40074c844a304688e503dd0c3f8b04e10e40f6f81b8bad260e07c54aa37864"),
            section=None,
            raw=second,
        ),
    ]


def test_pool_files_are_those_of_the_entries() -> None:
    entries = [(entry.filename, entry.sha256, entry.size) for entry in iter_packages(PACKAGES)]
    assert list(iter_pool_files(PACKAGES)) == entries


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b"Package: 0ad\n", b"Package: 0AD\n", "entry '0AD' of an index: '0AD' is not a package name"),
        (b"Package: 0ad\n", b"X: 1\n", "Package is missing"),
        (b"Version: 0.0.26-3\n", b"Version:\n", "entry '0ad' of an index: Version is missing"),
        (b"pool/main/0/0ad/0ad_", b"/0ad_", "not a plain relative path"),
        (b"pool/main/0/0ad/0ad_", b"pool/../../0ad_", "not a plain relative path"),
        (b"pool/main/0/0ad/0ad_", b"pool/\x07/0ad_", "signs that no path here may have"),
        (b"pool/main/0/0ad/0ad_", b"pool/\xff/0ad_", "it is not UTF-8"),
        (b"7891488", b"-1", "'-1' is not a number"),
        (b"7891488", b"9" * 5000, "is not a number"),
        (b"Architecture: amd64", b"Architecture: ../amd64", "is not an architecture"),
        (b"SHA256: 3a21", b"SHA256: 3A21", "is not a SHA-256"),
        (b"Version: 0.0.26-3", b"Version: 0.0.26-3\nSource: 0ad (", "does not name a source"),
    ],
)
def test_hostile_entries_are_refused_by_name(old: bytes, new: bytes, problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        list(iter_packages(PACKAGES.replace(old, new)))


def test_the_entry_of_a_deb_is_in_daks_order_with_the_synopsis_only() -> None:
    assert greeter().decode() == STANZA.format(md5=md5_hex(DESCRIPTION.encode()))


def test_translations_are_found_by_the_same_md5() -> None:
    md5 = md5_hex(DESCRIPTION.encode())
    wanted = f"Package: petrel-greeter\nDescription-md5: {md5}\nDescription-en: {DESCRIPTION}"
    assert translation_stanza(parse_one(CONTROL)).decode() == wanted


def test_an_entry_that_was_written_is_read_back() -> None:
    raw = greeter()
    assert package_entry(raw) == PackageEntry(
        name="petrel-greeter",
        version=DebVersion("1:1.2-3+b1"),
        architecture="amd64",
        source="petrel",
        source_version=DebVersion("1.2-3"),
        filename="pool/main/p/petrel/petrel-greeter_1.2-3+b1_amd64.deb",
        size=5678,
        sha256=DEB_SHA256,
        section="utils",
        raw=raw,
    )


def test_a_control_file_cannot_speak_for_the_archive() -> None:
    lies = b"Filename: /etc/passwd\nSHA512: 00\nsize: 1\nDescription-MD5: 00\nStatus: install ok installed\n"
    assert greeter(lies + CONTROL) == greeter()


def test_overrides_replace_fields_and_unknown_fields_stand_before_the_last_ones() -> None:
    extra = (("Section", "misc"), ("Phased-Update-Percentage", "10"), ("Tag", "a::b,\n c::d"))
    names = [name for name, _ in parse_one(greeter(CONTROL + b"Ruby-Versions: all\n", extra)).items()]
    assert names[9:] == [
        "Homepage", "Description-md5", "Phased-Update-Percentage", "Ruby-Versions", "Tag", "Section", "Priority",
        "Filename", "Size", "MD5sum", "SHA256",
    ]  # fmt: skip
    assert parse_one(greeter(extra=extra))["Section"] == "misc"


def test_all_problems_of_a_control_file_are_told_at_once() -> None:
    with pytest.raises(BadInput) as caught:
        greeter(b"Package: UP\nVersion: 1_0\nDescription: d\n")
    assert caught.value.message == (
        "the control file of a package has 4 problems:\n"
        "  Package: 'UP' is not a package name\n"
        "  Version: '1_0' is not a Debian version\n"
        "  Architecture is missing\n"
        "  Maintainer is missing"
    )


def petrel_source(directory: str = "pool/main/p/petrel") -> bytes:
    return source_stanza(parse_dsc(DSC), directory=directory, dsc_file=DSC_FILE, section="utils", priority="optional")


def test_the_entry_of_a_source_is_in_daks_order_and_lists_the_dsc() -> None:
    assert petrel_source().decode() == (
        "Package: petrel\n"
        "Binary: petrel-greeter, petrel-data\n"
        "Version: 1:1.2-3\n"
        "Maintainer: Ada Lovelace <ada@example.org>\n"
        "Build-Depends: debhelper-compat (= 13)\n"
        "Architecture: any all\n"
        "Standards-Version: 4.6.2\n"
        "Format: 3.0 (quilt)\n"
        "Files:\n"
        f" {'0' * 32} 1234 petrel_1.2-3.dsc\n"
        f" {'5' * 32} 1000 petrel_1.2.orig.tar.xz\n"
        f" {'6' * 32} 200 petrel_1.2-3.debian.tar.xz\n"
        "Checksums-Sha256:\n"
        f" {'9' * 64} 1234 petrel_1.2-3.dsc\n"
        f" {'3' * 64} 1000 petrel_1.2.orig.tar.xz\n"
        f" {'4' * 64} 200 petrel_1.2-3.debian.tar.xz\n"
        "Package-List:\n"
        " petrel-data deb utils optional arch=all\n"
        " petrel-greeter deb utils optional arch=any\n"
        "Directory: pool/main/p/petrel\n"
        "Priority: optional\n"
        "Section: utils\n"
    )


def test_a_source_entry_that_was_written_is_read_back() -> None:
    raw = petrel_source()
    files = (
        DSC_FILE,
        FileHash("petrel_1.2.orig.tar.xz", 1000, Sha256("3" * 64), "5" * 32),
        FileHash("petrel_1.2-3.debian.tar.xz", 200, Sha256("4" * 64), "6" * 32),
    )
    entry = SourceEntry(
        name="petrel",
        version=DebVersion("1:1.2-3"),
        binaries=("petrel-greeter", "petrel-data"),
        architectures=("any", "all"),
        directory="pool/main/p/petrel",
        files=files,
        section="utils",
        raw=raw,
    )
    assert list(iter_sources(b"\n" + raw + b"\n" + raw)) == [entry, entry]
    assert list(iter_source_files(raw)) == [
        (f"pool/main/p/petrel/{file.name}", file.sha256, file.size) for file in files
    ]


def test_sources_of_flat_archives_lie_beside_the_index() -> None:
    raw = petrel_source().replace(b"Directory: pool/main/p/petrel", b"Directory: .")
    assert source_entry(raw).directory == ""
    assert next(iter_source_files(raw))[0] == "petrel_1.2-3.dsc"


def test_a_hostile_source_entry_is_refused_with_all_problems() -> None:
    raw = petrel_source().replace(b"Directory: pool/", b"Directory: /").replace(b" 1000 petrel", b" 1000 ../petrel")
    with pytest.raises(BadInput) as caught:
        source_entry(raw)
    assert caught.value.message == (
        "the entry 'petrel' of a Sources index has 3 problems:\n"
        "  Directory: '/main/p/petrel' is not a plain relative path\n"
        "  Checksums-Sha256: '../petrel_1.2.orig.tar.xz' cannot be the name of an uploaded file\n"
        "  Files: '../petrel_1.2.orig.tar.xz' cannot be the name of an uploaded file"
    )
    with pytest.raises(BadInput, match="entry 'petrel' of a Sources index: '/main/p/petrel' is not"):
        list(iter_source_files(raw))
    with pytest.raises(BadInput, match="entry 'x' of a Sources index: Directory is missing"):
        list(iter_source_files(b"Package: x\n"))
    with pytest.raises(BadInput, match="it is not UTF-8"):
        list(iter_source_files(b"Package: x\nDirectory: \xff\n"))


def test_a_source_whose_files_lack_md5_or_list_themselves_is_not_written() -> None:
    dsc = parse_dsc(write_stanza([field for field in parse_one(DSC).items() if field[0] != "Files"]))
    with pytest.raises(BadInput, match="is not an MD5"):
        source_stanza(dsc, directory="pool/x", dsc_file=DSC_FILE, section="utils", priority="optional")
    itself = FileHash("petrel_1.2.orig.tar.xz", 1, Sha256("9" * 64), "0" * 32)
    with pytest.raises(BadInput, match="lists itself"):
        source_stanza(parse_dsc(DSC), directory="pool/x", dsc_file=itself, section="utils", priority="optional")
    with pytest.raises(BadInput, match="plain relative path"):
        petrel_source("../pool")
