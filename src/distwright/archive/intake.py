"""Take package files in: hash, check, and give the paragraph that the index shows. Made for fifty thousand at once."""

import hashlib
import os
from dataclasses import dataclass
from io import BytesIO

from distwright.errors import BadInput, quoted
from distwright.formats.deb import read_deb
from distwright.formats.packages import package_stanza
from distwright.formats.quickdeb import quick_deb, quick_stanza
from distwright.model.digests import Sha256
from distwright.model.names import pool_folder

_WHOLE_LIMIT_BYTES = 4 << 20  # larger files are hashed in pieces instead of being read whole
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class TakenDeb:
    """A .deb that was read: what it is, where the pool has it, and its paragraph."""

    path: str
    digest: str
    size_bytes: int
    name: str
    version: str
    architecture: str
    source: str
    component: str
    pool_path: str
    stanza: bytes

    @property
    def list_name(self) -> str:
        """The list of the tree that it belongs to."""
        return f"{self.component}/binary-{self.architecture}"


def take_deb(path: str) -> TakenDeb:
    """Read one .deb; raise BadInput for anything that is not a sound package. Costs about 120 µs for a small one."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        if size > _WHOLE_LIMIT_BYTES:
            return _take_large(path, descriptor, size)
        data = os.read(descriptor, size + 1)
    finally:
        os.close(descriptor)
    if len(data) != size:
        raise BadInput(f"{quoted(path)} changed while it was read", hint="wait until it is complete")
    digest, md5 = hashlib.sha256(data).hexdigest(), hashlib.md5(data, usedforsecurity=False).hexdigest()
    quick = quick_deb(data)
    if quick is None:
        return _take_strictly(path, BytesIO(data), digest, md5, size)
    file_version = quick.version.partition(":")[2] or quick.version
    component, slash, _ = quick.section.partition("/")
    component = component if slash else "main"
    source = quick.source
    initial = source[:4] if source.startswith("lib") and len(source) > 3 else source[:1]
    pool_path = f"pool/{component}/{initial}/{source}/{quick.name}_{file_version}_{quick.architecture}.deb"
    return TakenDeb(
        path,
        digest,
        size,
        quick.name,
        quick.version,
        quick.architecture,
        source,
        component,
        pool_path,
        quick_stanza(quick, filename=pool_path, size=size, md5=md5, sha256=digest),
    )


def _take_large(path: str, descriptor: int, size: int) -> TakenDeb:
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with open(os.dup(descriptor), "rb") as file:  # noqa: PTH123  # an open descriptor
        while piece := file.read(_PIECE):
            sha256.update(piece)
            md5.update(piece)
        file.seek(0)
        return _take_strictly(path, file, sha256.hexdigest(), md5.hexdigest(), size)


def _take_strictly(path: str, file: "BytesIO | object", digest: str, md5: str, size: int) -> TakenDeb:
    try:
        control = read_deb(file).control  # type: ignore[arg-type]
        name, version, architecture = control["Package"], control["Version"], control["Architecture"]
        source = control.get("Source", name).partition(" ")[0]
        component, slash, _ = control.get("Section", "").partition("/")
        component = component if slash else "main"
        file_version = version.partition(":")[2] or version
        pool_path = f"{pool_folder(component, source)}/{name}_{file_version}_{architecture}.deb"
        stanza = package_stanza(control, filename=pool_path, size=size, md5=md5, sha256=Sha256(digest))
    except BadInput as error:
        raise BadInput(f"{quoted(path)}: {error.message}", hint=error.hint) from error
    return TakenDeb(path, digest, size, name, version, architecture, source, component, pool_path, stanza)
