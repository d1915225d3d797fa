"""A suite as others see it gives the tree that it was published from, and nothing that somebody changed on the way."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.worlds.archive import DAY, MadeDeb, MadeSource, make_deb, make_source, signer
from tests.worlds.installation import make_context
from tests.worlds.suite import OwnSuite, own_suite

from distwright.archive.from_outside import TakenSuite, take_suite, tree_of_indexes
from distwright.archive.indexes import index_files
from distwright.archive.tree import TreeEntry, build_tree
from distwright.errors import BadInput, NotFound, Refused
from distwright.model.digests import sha256_of
from distwright.model.versions import DebVersion
from distwright.net.fetcher import NO_VALIDATORS, Page, Validators
from distwright.signing.verify import Keyring
from distwright.store.suites import get_suite, list_revisions

URL = "http://ours.example/petrel"
PACKAGES: list[MadeDeb | MadeSource] = [
    *(make_deb(f"hello-{number}", "1.0") for number in range(300)),
    make_source("hello", "1.0"),
]


class TreeFetcher:
    """Answers from a folder; changed: other content for some paths."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.changed: dict[str, bytes] = {}

    def fetch(self, url: str, *, limit_bytes: int) -> Iterator[bytes]:
        assert url.startswith(f"{URL}/")
        path = url.removeprefix(f"{URL}/")
        if path not in self.changed and not (self.folder / path).is_file():
            raise NotFound(f"{url} is not there", hint="distwright suite list")
        content = self.changed.get(path) or (self.folder / path).read_bytes()
        assert len(content) <= limit_bytes
        yield content

    def fetch_page(self, url: str, *, limit_bytes: int, known: Validators = NO_VALIDATORS) -> Page | None:
        return Page(b"".join(self.fetch(url, limit_bytes=limit_bytes)))


@pytest.fixture
def ours(tmp_path: Path) -> OwnSuite:
    return own_suite(tmp_path / "ours")


class Taker:
    """Somebody else's installation, which reads ours."""

    def __init__(self, folder: Path, ours: OwnSuite) -> None:
        self.suite = own_suite(folder)
        self.context = self.suite.context
        self.fetcher = TreeFetcher(ours.archive)
        self.context.fetcher = self.fetcher

    def take(self, key: str = "petrel") -> TakenSuite:
        with self.context.database.read() as tx:
            row = get_suite(tx, "petrel", "devel")
        return take_suite(self.context, row, URL, Keyring(signer(key).certificate(), key))


@pytest.fixture
def theirs(tmp_path: Path, ours: OwnSuite) -> Taker:
    return Taker(tmp_path / "theirs", ours)


def test_a_published_suite_has_the_same_revision_elsewhere(ours: OwnSuite, theirs: Taker) -> None:
    revision = ours.hold(*PACKAGES, make_deb("data", "1.0", architecture="all"))
    ours.publish(revision)
    taken = theirs.take()
    assert (taken.revision, taken.is_new, taken.fetched) == (revision, True, 303)
    assert theirs.context.objects.read(revision) == ours.context.objects.read(revision)
    with theirs.context.database.read() as tx:
        [step] = list_revisions(tx, "petrel", "devel")
    assert (step.action, step.after, step.reason) == ("take", revision, f"as published on {URL}")
    assert theirs.take() == replace(taken, is_new=False, fetched=0)


def test_an_empty_suite_is_taken_as_such(ours: OwnSuite, theirs: Taker) -> None:
    ours.publish(ours.hold())
    assert theirs.take().is_new is False


def stanza(name: str, architecture: str, version: str) -> bytes:
    return f"Package: {name}\nArchitecture: {architecture}\nVersion: {version}\n".encode()


def test_packages_of_all_kinds_come_back_to_their_lists(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    entries = [
        TreeEntry(list_name, name, DebVersion(version), stanza(name, architecture, version))
        for list_name, architecture in (
            ("main/binary-amd64", "amd64"), ("main/binary-i386", "i386"), ("main/binary-all", "all"),
            ("main/debian-installer/binary-amd64", "amd64"), ("main/debian-installer/binary-all", "all"),
            ("contrib/binary-amd64", "amd64"), ("main/source", "any"), ("main/i18n", ""), ("main/i18n-de", ""),
        )
        for name in ("a", "b", "libc")
        for version in ("1.0", "1.0~rc1")
    ]  # fmt: skip
    root = build_tree(entries, context.objects.put)
    texts = index_files(root, context.objects.read, ("contrib/source",))
    assert texts["contrib/source/Sources"] == b""
    assert tree_of_indexes(texts, context).to_bytes() == root.to_bytes()


def test_an_index_that_no_tree_gives_is_refused(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    other = b"Package: a\nArchitecture: all\n\nPackage: b\nArchitecture: amd64\n\n"
    with pytest.raises(BadInput, match="main/binary-amd64/Packages cannot be joined from its packages"):
        tree_of_indexes({"main/binary-amd64/Packages": other}, context)
    texts = {
        f"main/binary-{name}/Packages": f"Package: {name}\nArchitecture: all\n\n".encode() for name in ("amd64", "i386")
    }
    with pytest.raises(BadInput, match="main/binary-all is not the same for every architecture"):
        tree_of_indexes(texts, context)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("dists/devel/InRelease", "InRelease of petrel/devel"),
        ("/by-hash/SHA256/", "is not what InRelease says"),
        ("pool/main/h/hello/hello_1.0_amd64.deb", "has SHA-256"),
    ],
)
def test_what_somebody_changed_on_the_way_changes_nothing_here(
    ours: OwnSuite, theirs: Taker, wanted: str, said: str
) -> None:
    ours.publish(ours.version("1.0"))
    files = {str(path.relative_to(ours.archive)): path for path in ours.archive.rglob("*") if path.is_file()}
    files |= {"dists/devel/InRelease": ours.archive / "dists" / "devel" / "InRelease"}
    indexes = ours.archive / "dists" / "devel" / "main"
    for index in indexes.resolve().rglob("*.xz"):
        folder = f"dists/devel/main/{index.parent.name}"
        digest = sha256_of(index.read_bytes())
        files |= {f"{folder}/{index.name}": index, f"{folder}/by-hash/SHA256/{digest}": index}
    changed = {name: path.read_bytes()[:-9] + b"!" + path.read_bytes()[-8:] for name, path in files.items()}
    if "by-hash" in wanted:
        theirs.fetcher.changed = {
            name: content for name, content in changed.items() if name.startswith("dists/devel/main/")
        }
    else:
        theirs.fetcher.changed = {wanted: changed[wanted]}
    with pytest.raises(Refused) as caught:
        theirs.take()
    assert said in str(caught.value)
    with theirs.context.database.read() as tx:
        assert list_revisions(tx, "petrel", "devel") == []


def test_a_stranger_and_an_expired_release_are_refused(ours: OwnSuite, theirs: Taker) -> None:
    ours.fields["Valid-Days"] = "7"
    ours.publish(ours.version("1.0"))
    with pytest.raises(Refused):
        theirs.take("stranger")
    theirs.context.clock += 8 * DAY
    with pytest.raises(Refused, match="what is published of petrel/devel was to be trusted until"):
        theirs.take()


def test_another_suite_under_this_name_is_refused(ours: OwnSuite, theirs: Taker) -> None:
    ours.fields["Suite"] = "stable"
    ours.publish(ours.version("2.0"))
    with pytest.raises(Refused, match="what is published as petrel/devel says that it is 'stable'"):
        theirs.take()
