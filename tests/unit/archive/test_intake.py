"""Package files that are taken in where their archive has them: the fast reader and the strict one say the same."""

from pathlib import Path

import pytest
from tests.worlds.packages import MadeDeb, make_deb, make_source

from distwright.archive.intake import Placed, TakenDeb, take_deb
from distwright.archive.intake_source import take_source
from distwright.errors import BadInput
from distwright.formats.quickdeb import quick_deb

PLACED = Placed("updates/main", "special", "important")


def taken(folder: Path, deb: MadeDeb, name: str, placed: Placed | None) -> TakenDeb:
    (folder / name).write_bytes(deb.content)
    return take_deb(str(folder / name), placed)


def test_a_package_is_what_its_archive_says(tmp_path: Path) -> None:
    found = taken(tmp_path, make_deb("hello", "1:1.0", section="contrib/utils"), "hello.deb", PLACED)
    assert (found.list_name, found.pool_path) == (
        "updates/main/binary-amd64",
        "pool/updates/main/h/hello/hello_1.0_amd64.deb",
    )
    assert b"\nSection: special\nPriority: important\nFilename: pool/updates/main/h/hello/" in found.stanza


def test_both_readers_place_a_package_alike(tmp_path: Path) -> None:
    small = make_deb("hello", content={"usr/share/hello": "x"})
    quick = taken(tmp_path, small, "hello.deb", PLACED)
    odd = make_deb("hello", content={"usr/share/hello": "x"}, fields={"Section": "utils\t"})  # for the strict reader
    strict = taken(tmp_path, odd, "odd.deb", PLACED)
    own = (b"Size:", b"MD5sum:", b"SHA256:")
    lines = [[line for line in one.stanza.splitlines() if not line.startswith(own)] for one in (quick, strict)]
    assert lines[0] == lines[1]


def test_a_udeb_goes_into_the_list_of_the_installer(tmp_path: Path) -> None:
    for placed in (None, Placed("main")):
        found = taken(tmp_path, make_deb("tiny"), "tiny.udeb", placed)
        assert (found.list_name, found.pool_path) == (
            "main/debian-installer/binary-amd64",
            "pool/main/t/tiny/tiny_1.0_amd64.udeb",
        )


def test_the_files_of_a_source_may_lie_anywhere_under_any_name(tmp_path: Path) -> None:
    source = make_source("hello", "1.0")
    paths = {name: str(tmp_path / f"{number}" / f"hashed_{name}") for number, name in enumerate(source.files)}
    for name, content in source.files.items():
        Path(paths[name]).parent.mkdir()
        Path(paths[name]).write_bytes(content)
    found = take_source(paths[source.dsc_name], Placed("contrib", "special"), paths=paths)
    assert [path for path, _ in found.pool_files] == [f"pool/contrib/h/hello/{name}" for name in source.files]
    assert b"\nPriority: optional\nSection: special\n" in found.stanza
    assert source.dsc_name.encode() in found.stanza


@pytest.mark.parametrize("sign", ["\x01", "\x0c", "\x1b", "\x7f"])
def test_control_characters_do_not_come_into_an_index(tmp_path: Path, sign: str) -> None:
    deb = make_deb("hello", fields={"Homepage": f"https://example.org/{sign}[2J"})
    with pytest.raises(BadInput, match=rf"hello\.deb.*\n.*Homepage has the control character U\+{ord(sign):04X}"):
        taken(tmp_path, deb, "hello.deb", None)
    assert b"a\tb" in taken(tmp_path, make_deb("hello", fields={"X-Odd": "a\tb"}), "hello.deb", None).stanza


@pytest.mark.parametrize("length", [200, 5000])
def test_a_version_too_long_for_a_file_name_is_refused(tmp_path: Path, length: int) -> None:
    with pytest.raises(BadInput, match=r"(?s)hello\.deb.*its file in the pool.*would have a name of"):
        taken(tmp_path, make_deb("hello", "1" * length), "hello.deb", None)
    source = make_source("hello", "1" * length)
    paths = {name: str(tmp_path / f"file{number}") for number, name in enumerate(source.files)}
    for name, content in source.files.items():
        Path(paths[name]).write_bytes(content)
    with pytest.raises(BadInput, match=r"would have a name of|cannot be the name"):
        take_source(paths[source.dsc_name], paths=paths)


def test_a_component_too_long_for_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"(?s)hello\.deb.*is too long"):
        taken(tmp_path, make_deb("hello", section=f"{'c' * 5000}/utils"), "hello.deb", None)


def test_the_longest_names_of_files_are_taken(tmp_path: Path) -> None:
    version = "1" * (200 - len("hello__amd64.deb"))
    found = taken(tmp_path, make_deb("hello", version), "hello.deb", None)
    assert len(found.pool_path.rpartition("/")[2]) == 200


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Depends", "a ("),
        ("Depends", "hello (>= 1.0"),
        ("Pre-Depends", "hello >= 1.0"),
        ("Recommends", "hello (>= 1.0-)"),
        ("Suggests", "hello [amd64]"),
        ("Breaks", "hello | world"),
        ("Provides", "hello (>= 1.0)"),
        ("Built-Using", "hello"),
        ("depends", "a ("),
    ],
)
def test_relations_that_apt_cannot_read_are_refused(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(BadInput, match=rf"(?s)hello\.deb.*{name.capitalize()[:4]}"):
        taken(tmp_path, make_deb("hello", fields={name: text}), "hello.deb", None)


@pytest.mark.parametrize(
    ("text", "is_quick"),
    [
        ("libc6 (>= 2.36), python3:any (<< 3.14), exim4 | mail-transport-agent", True),
        ("libc6 (= 1:2.36-9+deb12u1~x)", True),
        ("libc6(>=2.36),world ,", False),
        ("libc6,\n world", False),
    ],
)
def test_relations_are_taken_fast_where_they_are_ordinary(tmp_path: Path, text: str, *, is_quick: bool) -> None:
    deb = make_deb("hello", fields={"Depends": text, "Recommends": ""})
    assert (quick_deb(deb.content) is not None) == is_quick
    assert f"\nDepends: {text}\n".encode() in taken(tmp_path, deb, "hello.deb", None).stanza


MANY = {f"X-Field-{number}": "x" for number in range(300_000)}


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"X-Large": "x" * (20 << 20)}, "most of them in 'X-Large'"),
        ({"X-Large": "x" * (300 << 10)}, "most of them in 'X-Large'"),
        ({"Description": "large" + "\n all of it" * (50 << 10)}, "most of them in 'Description-en'"),
        (MANY, "would have 3000.. fields"),
        (dict(list(MANY.items())[:1000]), "would have 10.. fields"),
    ],
    ids=["20 MiB", "300 KiB", "description", "300,000", "1,000"],
)
def test_a_paragraph_too_large_for_apt_is_refused(tmp_path: Path, fields: dict[str, str], problem: str) -> None:
    with pytest.raises(BadInput, match=rf"(?s)hello\.deb.*{problem}"):
        taken(tmp_path, make_deb("hello", fields=fields), "hello.deb", None)


def test_large_paragraphs_that_apt_reads_are_taken(tmp_path: Path) -> None:
    for fields in ({"X-Large": "x" * (200 << 10)}, dict(list(MANY.items())[:980])):
        name = list(fields)[-1].encode()
        assert name in taken(tmp_path, make_deb("hello", fields=fields), "hello.deb", None).stanza


def test_a_source_with_a_paragraph_too_large_is_refused(tmp_path: Path) -> None:
    source = make_source("hello", "1.0", fields=dict(list(MANY.items())[:1000]))
    for name, content in source.files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=r"(?s)hello_1\.0\.dsc.*would have 10.. fields"):
        take_source(str(tmp_path / source.dsc_name))
