"""A tagged snapshot as a state that builds can read, as they read a record: nothing is there but what was tagged."""

from collections.abc import Iterator

from distwright.archive.rendering import IndexSet, parse_index_set
from distwright.archive.snapshots import RecordedIndex, RecordedSuite, SnapshotDocument
from distwright.archive.tag_trees import TagDocument, TaggedSuite
from distwright.formats.release import parse_release
from distwright.model.digests import Sha256
from distwright.store.objects import ObjectStore

_PREFERRED, _OTHERS = ".xz", (".gz", ".zst")


def state_of_tag(document: TagDocument, objects: ObjectStore) -> Sha256:
    """Keep the tagged snapshot as the document of a record; give its object, the same one each time.

    All that it names is what the tag holds. Raises BadInput for indexes of another format.
    """
    suites = {name: _recorded(name, suite, objects) for name, suite in document.suites.items()}
    return objects.put(SnapshotDocument(suites).to_bytes())


def _recorded(name: str, suite: TaggedSuite, objects: ObjectStore) -> RecordedSuite:
    release = parse_release(objects.read(suite.signed["Release"]))
    indexes = parse_index_set(objects.read(suite.indexes))
    return RecordedSuite(
        name=name,
        inrelease=suite.signed["InRelease"],
        release=suite.signed["Release"],
        date=release.date,
        components=release.components,
        indexes=tuple(_packed(indexes, _PREFERRED)),
        copies=tuple(one for ending in _OTHERS for one in _packed(indexes, ending)),
    )


def _packed(indexes: IndexSet, ending: str) -> Iterator[RecordedIndex]:
    for path, plain in sorted(indexes.plain.items()):
        packed = indexes.files[f"{path}{ending}"]
        yield RecordedIndex(packed.path, packed.sha256, packed.size, plain.sha256)
