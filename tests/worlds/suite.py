"""An own suite of a small installation, filled by hand and published: for tests of what clients see."""

from dataclasses import dataclass, field
from pathlib import Path

from tests.worlds.archive import MadeDeb, MadeSource, make_deb, make_source, signer
from tests.worlds.client import SeenSuite, see_suite
from tests.worlds.installation import WorldContext, make_context

from distwright.archive.publish import PublishRequest, publish
from distwright.archive.tree import EMPTY_ROOT, TreeEntry, build_tree
from distwright.model.digests import Sha256, sha256_of
from distwright.model.records import Publication, SuiteState
from distwright.model.versions import DebVersion
from distwright.signing.signer import Signer
from distwright.store.archives import list_publications
from distwright.store.suites import get_suite, insert_suite, move_suite

LISTS = ("main/binary-amd64", "main/source")


@dataclass
class OwnSuite:
    """The suite `name` of the archive petrel. key: who signs it; signed_by: or this signer. contents, pdiffs: as in its table.

    fields: of its Release, beside or in place of the usual ones. lists: those that it must have.
    """

    context: WorldContext
    name: str = "devel"
    key: str = "petrel"
    signed_by: Signer | None = None
    contents: bool = False
    pdiffs: bool = False
    fields: dict[str, str] = field(default_factory=dict)
    lists: tuple[str, ...] = LISTS

    @property
    def archive(self) -> Path:
        """The served tree."""
        return self.context.paths.public / "petrel"

    def hold(self, *packages: MadeDeb | MadeSource) -> Sha256:
        """Make a state of exactly these packages the suite's, as uploads would; give its revision."""
        entries = []
        for package in packages:
            files = {"": package.content} if isinstance(package, MadeDeb) else package.files
            for content in files.values():
                self.context.objects.put(content)
            list_name = f"main/binary-{package.architecture}" if isinstance(package, MadeDeb) else "main/source"
            entries.append(TreeEntry(list_name, package.name, DebVersion(package.version), package.stanza().encode()))
        root = build_tree(entries, self.context.objects.put)
        revision = self.context.objects.put(root.to_bytes())
        with self.context.database.write() as tx:
            move_suite(tx, get_suite(tx, "petrel", self.name), revision, self.context.clock)
        return revision

    def version(self, version: str) -> Sha256:
        """Hold hello in a version, and world always in the same."""
        return self.hold(
            make_deb("hello", version), make_source("hello", version), make_deb("world", architecture="all")
        )

    def publish(self, revision: Sha256, *, added: tuple[str, ...] = ()) -> Publication:
        """Publish a revision."""
        fields = {
            "Origin": "Petrel",
            "Label": "Petrel",
            "Suite": self.name,
            "Codename": self.name,
            "Description": "ours",
            **self.fields,
        }
        request = PublishRequest(
            "petrel", self.name, revision, self.lists, fields, added, contents=self.contents, pdiffs=self.pdiffs
        )
        return publish(request, self.context, self.signed_by or signer(self.key))

    def see(self) -> SeenSuite:
        """Look at it as a client."""
        return see_suite(self.archive, self.name, signer(self.key).certificate())

    def state(self) -> SuiteState:
        """Give its row."""
        with self.context.database.read() as tx:
            return get_suite(tx, "petrel", self.name)

    def publications(self) -> list[tuple[int, Sha256, str]]:
        """List number, revision and state of every publication, oldest first."""
        with self.context.database.read() as tx:
            rows = list_publications(tx)
        return [(row.id, row.revision, row.state) for row in reversed(rows) if row.suite == self.name]


def own_suite(folder: Path, name: str = "devel", context: WorldContext | None = None) -> OwnSuite:
    """Give an empty suite of an installation below a folder."""
    context = context or make_context(folder)
    empty = context.objects.put(EMPTY_ROOT.to_bytes())
    assert empty == sha256_of(EMPTY_ROOT.to_bytes())
    with context.database.write() as tx:
        insert_suite(tx, SuiteState("petrel", name, "base", empty, context.clock))
    return OwnSuite(context, name)
