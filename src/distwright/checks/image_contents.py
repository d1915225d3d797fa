"""What is in an image: read once from its ISO, and kept as a document by the digest of that. Nothing of it is run or mounted."""

import hashlib
import json
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO

from distwright.checks.image_boot import boot_lines
from distwright.errors import BadInput, quoted
from distwright.formats.capabilities import shown_capabilities
from distwright.formats.iso9660 import IsoFile, files_of_iso
from distwright.formats.squashfs import SquashFile, Squashfs
from distwright.jobs.order import PRIORITY_REVIEW, JobOrder
from distwright.jobs.step import Action, Conclusion, Context, Earlier, Inputs, JobKind, KindName, StepResult, Where
from distwright.model import plain
from distwright.model.digests import Json, Sha256, canonical_json
from distwright.store.holds import object_hold, replace_holds

KIND = KindName("image.contents", 2)
FORMAT = 2  # 1 had no boot records
_PASSWD, _GROUP = "etc/passwd", "etc/group"
_LISTS, _LIST = "var/lib/dpkg/info/", ".list"
_TEXT_BYTES, _TEXTS_BYTES = 16 << 20, 128 << 20
_PIECE = 1 << 20
_HASH_DIGITS = 32  # half a SHA-256: 64 digits would be the name of an object, which the collector follows
_LOOK_EVERY = 500
_LIVE, _SQUASHFS, _MODULE = "live/", ".squashfs", "live/filesystem.module"
_MODULE_BYTES, _LAYERS_LIMIT = 4096, 16
_NUMBER_DIGITS = 10

# inputs: iso (digest), and nothing else: one image is read once.

Look = Callable[[], None]


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file of the image's root. path: without a / before it. mode: with its kind. size: in bytes, 0 for what is no plain file.

    what: the first half of the SHA-256 of a plain file, what a link says, major:minor of a device. capabilities: in words.
    package: whose it is, "" if it belongs to none.
    """

    path: str
    mode: int
    uid: int
    gid: int
    size: int
    what: str
    capabilities: str = ""
    package: str = ""


@dataclass(frozen=True, slots=True)
class ImageContents:
    """files: of the root, by path. medium: plain files beside the squashfs, path -> size and half a SHA-256.

    sizes: package -> bytes of its files, each file once, whatever number of names it has. users, groups: lines of /etc/passwd and
    /etc/group. squashfs_bytes: of the squashfs, as packed; of several layers, of all. boot: by what it starts, name -> what is
    said of it.
    """

    files: Mapping[str, ImageFile]
    medium: Mapping[str, tuple[int, str]]
    sizes: Mapping[str, int]
    users: Sequence[str]
    groups: Sequence[str]
    squashfs_bytes: int
    boot: Mapping[str, str] = field(default_factory=dict)


def contents_order(iso: Sha256, name: str) -> JobOrder:
    """Order the reading of an image; ordered again, it is known. name: for people."""
    return JobOrder(KIND, {"iso": str(iso)}, f"read what is in {name}", PRIORITY_REVIEW)


@dataclass(slots=True)
class _Root:
    """What was read of a root, or of one of its layers, so far. texts: contents of files that say something of others.

    again: further names of files, with the first. gone, opaque: what a layer takes away of those below it: a path, and all below
    a folder.
    """

    files: dict[str, ImageFile] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)
    inodes: dict[int, str] = field(default_factory=dict)
    again: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    opaque: set[str] = field(default_factory=set)
    left_bytes: int = _TEXTS_BYTES

    def add(self, file: SquashFile, squashfs: Squashfs, look: Look) -> None:
        path = file.path.decode("utf-8", "backslashreplace")
        kind = stat.S_IFMT(file.mode)
        xattrs = dict(file.xattrs)
        if kind == stat.S_IFCHR and file.device == (0, 0):
            self.gone.add(path)
            return
        if kind == stat.S_IFDIR and xattrs.get("trusted.overlay.opaque") == b"y":
            self.opaque.add(path)
        what = {stat.S_IFLNK: file.link.decode("utf-8", "backslashreplace")}.get(kind, "")
        if kind in (stat.S_IFBLK, stat.S_IFCHR):
            what = f"{file.device[0]}:{file.device[1]}"
        size = 0
        if kind == stat.S_IFREG:
            size = file.size
            what = self._content(path, file, squashfs, look)
        capability = xattrs.get("security.capability")
        shown = "" if capability is None else shown_capabilities(capability)
        self.files[path] = ImageFile(path, file.mode, file.uid, file.gid, size, what, shown)

    def _content(self, path: str, file: SquashFile, squashfs: Squashfs, look: Look) -> str:
        if (first := self.inodes.get(file.inode)) is not None:
            self.again[path] = first
            return self.files[first].what
        self.inodes[file.inode] = path
        is_text = path in (_PASSWD, _GROUP) or (path.startswith(_LISTS) and path.endswith(_LIST))
        keeps = is_text and file.size <= min(_TEXT_BYTES, self.left_bytes)
        digest, kept = hashlib.sha256(), []
        for piece in squashfs.content(file):
            look()
            digest.update(piece)
            if keeps:
                kept.append(piece)
        if keeps:
            self.left_bytes -= file.size
            self.texts[path] = b"".join(kept)
        return digest.hexdigest()[:_HASH_DIGITS]


def _merged(lower: _Root, upper: _Root) -> _Root:
    """Lay a layer over what is below it, as the kernel does (overlayfs.rst): folders are joined, all else hides what is there."""
    folders = {path for path, file in upper.files.items() if stat.S_ISDIR(file.mode)}
    hiding = (upper.files.keys() - folders) | upper.opaque | upper.gone

    def is_seen(path: str) -> bool:
        return path not in upper.files and path not in hiding and not any(one in hiding for one in _above(path))

    seen = {path: file for path, file in lower.files.items() if is_seen(path)}
    return _Root(
        files=dict(sorted({**seen, **upper.files}.items())),
        texts={**{path: text for path, text in lower.texts.items() if path in seen}, **upper.texts},
        again={**_further_names(lower.again, seen), **upper.again},
        left_bytes=upper.left_bytes,
    )


def _further_names(again: Mapping[str, str], seen: Mapping[str, ImageFile]) -> dict[str, str]:
    """Leave out names that are not seen; where the first name of a file is not, the next one is the first."""
    firsts = {first: first for first in again.values() if first in seen}
    found = {path: firsts.setdefault(first, path) for path, first in again.items() if path in seen}
    return {path: first for path, first in found.items() if path != first}


def _above(path: str) -> Iterator[str]:
    """Give the folders that a path is in, up to the root, which is "."."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
    yield "."


def _layers(iso: BinaryIO, places: Mapping[str, IsoFile]) -> list[str]:
    """Say what live-boot would lay over each other, the lowest first: as filesystem.module says, else in order of name.

    Raises BadInput if there is nothing, or too much, or not what that says. Source: live-boot's 9990-overlay.sh.
    """
    found = sorted(path for path in places if path.startswith(_LIVE) and path.endswith(_SQUASHFS))
    if (module := places.get(_MODULE)) is not None:
        iso.seek(module.offset)
        text = iso.read(min(module.size, _MODULE_BYTES)).decode("utf-8", "backslashreplace")
        found = list(dict.fromkeys(f"{_LIVE}{name}" for name in text.split()))
    if missing := [path for path in found if path not in places]:
        raise BadInput(f"the ISO has no file {quoted(missing[0])}, which {_MODULE} names", hint="build the image again")
    if not 0 < len(found) <= _LAYERS_LIMIT:
        raise BadInput(
            f"the ISO has {len(found)} file systems in live/; want 1 to {_LAYERS_LIMIT}", hint="build the image again"
        )
    return found


def _root_of(iso: BinaryIO, place: IsoFile, left_bytes: int, look: Look) -> _Root:
    squashfs, root = Squashfs(iso, place.offset, place.size), _Root(left_bytes=left_bytes)
    for number, file in enumerate(squashfs.files()):
        if number % _LOOK_EVERY == 0:
            look()
        root.add(file, squashfs, look)
    return root


def read_contents(iso: BinaryIO, *, look: Look = lambda: None) -> ImageContents:
    """Read an ISO of ours. iso: seekable. look: called often, may raise to stop. Memory: a row for each file, no content.

    Of several file systems in live/ it is what is seen when they lie over each other. Raises BadInput for what is damaged or
    passes a limit, and for a medium without a file system in live/.
    """
    places = files_of_iso(iso)
    layers = [places.pop(path) for path in _layers(iso, places)]
    root = _root_of(iso, layers[0], _TEXTS_BYTES, look)
    for layer in layers[1:]:
        root = _merged(root, _root_of(iso, layer, root.left_bytes, look))
    owners = _owners(root)
    files = {path: _owned(file, owners.get(path, "")) for path, file in root.files.items()}
    sizes: dict[str, int] = {}
    for path, one in files.items():
        if path not in root.again:
            sizes[one.package] = sizes.get(one.package, 0) + one.size
    distinct = sorted(set(places.values()), key=lambda there: there.offset)  # many files may be in one place
    sums = {there: _hash(iso, there, look) for there in distinct}
    medium = {path: (there.size, sums[there]) for path, there in sorted(places.items())}
    return ImageContents(
        files,
        medium,
        sizes,
        _lines(root, _PASSWD),
        _lines(root, _GROUP),
        sum(layer.size for layer in layers),
        boot_lines(iso, look),
    )


def _owned(file: ImageFile, package: str) -> ImageFile:
    return ImageFile(file.path, file.mode, file.uid, file.gid, file.size, file.what, file.capabilities, package)


def _owners(root: _Root) -> dict[str, str]:
    """Say which package each file is of, from dpkg's lists; of a folder that several have, nobody is the owner."""
    found = {path: _listed(path) for path in root.files if path.startswith(_LISTS)}
    for name, text in sorted(root.texts.items()):
        if not name.startswith(_LISTS):
            continue
        for line in text.decode("utf-8", "backslashreplace").splitlines():
            path = _where(line.strip("/"), root.files)
            if path in root.files and not stat.S_ISDIR(root.files[path].mode):
                found[path] = _listed(name)
    return found


def _listed(path: str) -> str:
    """Say whose a file of dpkg's own is: `NAME.list`, `NAME:amd64.postinst`."""
    return path.removeprefix(_LISTS).rpartition(".")[0].partition(":")[0]


def _where(path: str, files: Mapping[str, ImageFile]) -> str:
    """Follow what dpkg calls by another name since /bin, /lib and /sbin are links into /usr."""
    top, _, rest = path.partition("/")
    link = files.get(top)
    return f"{link.what.strip('/')}/{rest}" if rest and link is not None and stat.S_ISLNK(link.mode) else path


def _lines(root: _Root, path: str) -> tuple[str, ...]:
    return tuple(root.texts.get(path, b"").decode("utf-8", "backslashreplace").splitlines())


def _hash(iso: BinaryIO, place: IsoFile, look: Look) -> str:
    digest, left = hashlib.sha256(), place.size
    iso.seek(place.offset)
    while left and (piece := iso.read(min(left, _PIECE))):
        look()
        digest.update(piece)
        left -= len(piece)
    return digest.hexdigest()[:_HASH_DIGITS]


def contents_to_bytes(contents: ImageContents) -> bytes:
    """Write the document: canonical JSON. What it says is the same for the same ISO."""
    files: list[Json] = [
        [one.path, one.mode, one.uid, one.gid, one.size, one.what, one.capabilities, one.package]
        for one in contents.files.values()
    ]
    medium: dict[str, Json] = {path: list(said) for path, said in contents.medium.items()}
    return canonical_json(
        {
            "format": FORMAT, "files": files, "medium": medium, "sizes": dict(contents.sizes), "users": list(contents.users),
            "groups": list(contents.groups), "squashfs_bytes": contents.squashfs_bytes, "boot": dict(contents.boot),
        }
    )  # fmt: skip


def parse_contents(document: bytes) -> ImageContents:
    """Read what `contents_to_bytes` wrote; raise BadInput for anything else."""
    try:
        values = json.loads(document)
        if values["format"] != FORMAT:
            raise ValueError(f"format {values['format']}")
        files = {row[0]: ImageFile(*row) for row in values["files"]}
        medium = {path: (int(size), str(digest)) for path, (size, digest) in values["medium"].items()}
        return ImageContents(
            files,
            medium,
            values["sizes"],
            tuple(values["users"]),
            tuple(values["groups"]),
            values["squashfs_bytes"],
            {str(name): str(said) for name, said in values["boot"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"the contents of an image cannot be read: {error}", hint="distwright job list") from error


def _read(context: Context, inputs: Inputs, _earlier: Earlier) -> StepResult:
    """Read the image, keep the document and hold it."""
    with context.objects.open(plain.digest(inputs, "iso")) as file:
        contents = read_contents(file, look=context.check_cancelled)
    document = context.objects.put(contents_to_bytes(contents))
    with context.write() as tx:
        replace_holds(tx, holder_of(context.job), [object_hold("", document, "contents")], context.now())
    return StepResult({"contents": document}, values={"files": len(contents.files)})


def holder_of(job: int | None) -> str:
    """Name who holds what a job has read."""
    return f"contents {job}"


def _conclude(_inputs: Inputs, earlier: Earlier, _now: datetime, _job: int) -> Conclusion:
    read = earlier["read"]
    return Conclusion({"contents": str(read.outputs["contents"])}, f"read {read.values['files']} files")


IMAGE_CONTENTS = JobKind(KIND, (Action("read", _read, Where.ANYWHERE),), _conclude)


def names_of(lines: Iterable[str]) -> dict[int, str]:
    """Give number -> name from lines of /etc/passwd or /etc/group; the first name of a number counts."""
    found: dict[int, str] = {}
    for line in lines:
        name, _, number, *_ = [*line.split(":"), "", "", ""]
        if number.isascii() and number.isdigit() and len(number) <= _NUMBER_DIGITS:
            found.setdefault(int(number), name)
    return found
