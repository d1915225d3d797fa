"""From a tree to index files, and the Release that describes them."""

from tests.worlds.archive import make_deb, make_source

from distwright.archive.indexes import entries_of_texts, index_files, release_of
from distwright.archive.tree import EMPTY_ROOT, TreeEntry, build_tree
from distwright.formats.release import parse_release, write_release
from distwright.model.digests import sha256_of
from distwright.model.versions import DebVersion
from distwright.store.memory import MemoryObjects

BOTH = ("main/binary-amd64", "main/source")


def rendered(*entries: TreeEntry, lists: tuple[str, ...] = ()) -> dict[str, bytes]:
    objects = MemoryObjects()
    return index_files(build_tree(entries, objects.put), objects.read, lists)


def binary(name: str, architecture: str = "amd64", component: str = "main") -> TreeEntry:
    deb = make_deb(name, architecture=architecture)
    return TreeEntry(f"{component}/binary-{architecture}", name, DebVersion("1.0"), deb.stanza(component).encode())


def source(name: str) -> TreeEntry:
    return TreeEntry("main/source", name, DebVersion("1.0"), make_source(name).stanza().encode())


def text(*entries: TreeEntry) -> bytes:
    return b"".join(entry.stanza + b"\n" for entry in entries)


def test_an_empty_state_has_the_indexes_that_are_asked_for() -> None:
    assert index_files(EMPTY_ROOT, MemoryObjects().read) == {}
    assert index_files(EMPTY_ROOT, MemoryObjects().read, BOTH) == {
        "main/binary-amd64/Packages": b"",
        "main/source/Sources": b"",
    }


def test_packages_of_all_are_in_the_index_of_each_architecture_after_its_own() -> None:
    a, b, z = binary("a", "all"), binary("b"), binary("z")
    assert rendered(z, a, b, source("a"), lists=("main/binary-i386",)) == {
        "main/binary-amd64/Packages": text(b, z, a),
        "main/binary-i386/Packages": text(a),
        "main/source/Sources": text(source("a")),
    }


def test_a_component_sees_only_its_own_packages() -> None:
    a, b = binary("a"), binary("b", "all", "contrib")
    assert rendered(a, b, lists=("contrib/binary-amd64",)) == {
        "contrib/binary-amd64/Packages": text(b),
        "main/binary-amd64/Packages": text(a),
    }


def test_a_component_may_have_a_slash() -> None:
    a, b = binary("a", component="updates/main"), binary("b", "all", "updates/main")
    indexes = rendered(a, b, lists=("updates/main/source",))
    assert indexes == {"updates/main/binary-amd64/Packages": text(a, b), "updates/main/source/Sources": b""}
    release = release_of({}, entries_of_texts(indexes))
    assert (release.components, release.architectures) == (("updates/main",), ("amd64",))


def test_the_release_of_a_state_is_the_same_each_time_unless_it_is_given_a_date() -> None:
    indexes = rendered(binary("a"), source("a"))
    fields = {"Origin": "Petrel", "Label": "Petrel", "Suite": "devel", "Codename": "devel", "Description": "ours"}
    packages, sources = (indexes[path] for path in sorted(indexes))
    assert write_release(release_of(fields, entries_of_texts(indexes))).decode() == (
        "Origin: Petrel\nLabel: Petrel\nSuite: devel\nCodename: devel\nDate: Thu, 01 Jan 1970 00:00:00 UTC\n"
        "Acquire-By-Hash: yes\nArchitectures: amd64\nComponents: main\nDescription: ours\nSHA256:\n"
        f" {sha256_of(packages)} {len(packages):8d} main/binary-amd64/Packages\n"
        f" {sha256_of(sources)} {len(sources):8d} main/source/Sources\n"
    )
    dated = write_release(release_of({**fields, "Date": "2024-01-10T12:00:00+00:00"}, entries_of_texts(indexes)))
    assert f"{parse_release(dated).date:%Y-%m-%d %H:%M}" == "2024-01-10 12:00"
