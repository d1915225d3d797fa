"""Source and binary packages and uploads, made in memory: real formats, the same bytes on every machine."""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from email.utils import format_datetime

from tests.worlds.keys import signer
from tests.worlds.times import DATE

from distwright.model.digests import Sha256
from distwright.signing.signer import Signer
from distwright.store.objects import ObjectStore

Fields = Mapping[str, str | None]
"""Fields to add or to replace by name; None leaves one out."""

_OF_BUILDS = frozenset({"Build-Depends", "Architecture", "Testsuite", "Testsuite-Triggers"})


@dataclass(frozen=True)
class MadeDeb:
    """A binary package. control: the text of its control file."""

    name: str
    version: str
    architecture: str
    source: str
    section: str
    control: str
    content: bytes

    @property
    def file_name(self) -> str:
        """As dpkg-deb names it: without the epoch."""
        return f"{self.name}_{_plain(self.version)}_{self.architecture}.deb"

    @property
    def sha256(self) -> Sha256:
        """Hash it."""
        return Sha256(hashlib.sha256(self.content).hexdigest())

    def pool_path(self, component: str = "main") -> str:
        """Say where an archive keeps it."""
        return f"{pool(component, self.source)}/{self.file_name}"

    def stanza(self, component: str = "main") -> str:
        """Write its paragraph of a Packages index, without the empty line after it."""
        return (
            f"{self.control}Filename: {self.pool_path(component)}\nSize: {len(self.content)}\n"
            f"MD5sum: {_md5(self.content)}\nSHA256: {self.sha256}\n"
        )


@dataclass(frozen=True)
class MadeSource:
    """A native source package: its .dsc and its tar."""

    name: str
    version: str
    binaries: tuple[str, ...]
    tar: bytes
    fields: Fields = field(default_factory=dict)

    @property
    def tar_name(self) -> str:
        """The name of the tar."""
        return f"{self.name}_{_plain(self.version)}.tar.gz"

    @property
    def dsc_name(self) -> str:
        """The name of the .dsc."""
        return f"{self.name}_{_plain(self.version)}.dsc"

    @property
    def dsc(self) -> bytes:
        """Write the .dsc, unsigned as sbuild leaves it."""
        fields = {
            "Format": "3.0 (native)",
            "Source": self.name,
            "Binary": ", ".join(self.binaries),
            "Architecture": "any",
            "Version": self.version,
            "Maintainer": "Ada Example <ada@example.org>",
            "Standards-Version": "4.6.2",
            "Build-Depends": "debhelper-compat (= 13)",
            "Checksums-Sha256": f"\n {_sha256(self.tar)} {len(self.tar)} {self.tar_name}",
            "Files": f"\n {_md5(self.tar)} {len(self.tar)} {self.tar_name}",
        }
        return _paragraph(fields, self.fields).encode()

    @property
    def files(self) -> dict[str, bytes]:
        """Give the files by name."""
        return {self.dsc_name: self.dsc, self.tar_name: self.tar}

    def stanza(self, component: str = "main") -> str:
        """Write its paragraph of a Sources index, without the empty line after it."""
        rows = [(name, content) for name, content in self.files.items()]
        fields = {
            "Package": self.name,
            "Binary": ", ".join(self.binaries),
            "Version": self.version,
            "Maintainer": "Ada Example <ada@example.org>",
            "Architecture": "any",
            "Format": "3.0 (native)",
            "Files": "".join(f"\n {_md5(content)} {len(content)} {name}" for name, content in rows),
            "Checksums-Sha256": "".join(f"\n {_sha256(content)} {len(content)} {name}" for name, content in rows),
            "Directory": pool(component, self.name),
            "Section": "utils",
        }
        return _paragraph(fields, {name: text for name, text in self.fields.items() if name in _OF_BUILDS})


@dataclass(frozen=True)
class MadeUpload:
    """A signed .changes and the files that come with it."""

    changes_name: str
    changes: bytes
    files: Mapping[str, bytes]

    def with_files(self, content: Mapping[str, bytes | None]) -> "MadeUpload":
        """Change what comes with it and leave the .changes: a name with other content, or None to lose the file."""
        files = {**self.files, **content}
        return replace(self, files={name: file for name, file in files.items() if file is not None})

    def keep(self, objects: ObjectStore) -> tuple[Sha256, dict[str, Sha256]]:
        """Keep it as a build would: the .changes, and its files by name."""
        return objects.put(self.changes), {name: objects.put(content) for name, content in self.files.items()}


def make_deb(
    name: str,
    version: str = "1.0",
    *,
    architecture: str = "amd64",
    source: str | None = None,
    section: str = "utils",
    depends: str = "",
    content: Mapping[str, str] | None = None,
    fields: Fields | None = None,
    data: tuple[str, bytes] | None = None,
    scripts: Mapping[str, str] | None = None,
) -> MadeDeb:
    """Make a binary package that dpkg installs. content: path below / -> text; fields: of its control file.

    scripts: of its maintainer, by name. data: name and bytes of its last member, where the package is to be an odd one.
    """
    control = _paragraph(
        {
            "Package": name,
            **({"Source": source} if source else {}),
            "Version": version,
            "Architecture": architecture,
            "Maintainer": "Ada Example <ada@example.org>",
            "Installed-Size": "1",
            **({"Depends": depends} if depends else {}),
            "Section": section,
            "Priority": "optional",
            "Description": f"{name} of a small world\n It exists to be looked at.",
        },
        fields or {},
    )
    made = {f"./{script}": text.encode() for script, text in (scripts or {}).items()}
    files = {f"./{path}": text.encode() for path, text in (content or {f"usr/share/{name}": version}).items()}
    members = (
        (b"debian-binary", b"2.0\n"),
        (b"control.tar.gz", _packed_tar({"./control": control.encode()} | made, made.keys())),
        (b"data.tar.gz", _packed_tar(files)) if data is None else (data[0].encode(), data[1]),
    )
    deb = b"!<arch>\n" + b"".join(_ar_member(*member) for member in members)
    return MadeDeb(name, version, architecture, (source or name).partition(" ")[0], section, control, deb)


def make_source(
    name: str, version: str = "1.0", *, binaries: tuple[str, ...] = (), text: str = "", fields: Fields | None = None,
    tree: Mapping[str, str] | None = None,
) -> MadeSource:  # fmt: skip
    """Make a native source package. text: something that makes its tar another one. tree: what is in it, if it shall build."""
    folder = f"{name}-{_plain(version)}"
    content = tree or {"debian/control": f"Source: {name}\n", "README": text}
    tar = _packed_tar({f"{folder}/{path}": text.encode() for path, text in content.items()})
    return MadeSource(name, version, binaries or (name,), tar, fields or {})


def make_upload(
    source: MadeSource | None,
    *debs: MadeDeb,
    by: Signer | None = None,
    fields: Fields | None = None,
    unlisted: Mapping[str, bytes] | None = None,
    sections: Mapping[str, str] | None = None,
    distribution: str = "devel",
    more: Mapping[str, bytes] | None = None,
) -> MadeUpload:
    """Make an upload of a source and its packages, signed.

    by: who signs, the uploader otherwise. fields: of the .changes. unlisted: files that come along without being listed.
    sections: by file name, where the .changes says another one than the package. more: files that are listed too, or in place of
    others.
    """
    files = dict(source.files) if source else {}
    files |= {deb.file_name: deb.content for deb in debs}
    files |= dict(more or {})
    shown = {deb.file_name: deb.section for deb in debs} | dict(sections or {})
    name = source.name if source else debs[0].source
    version = source.version if source else debs[0].version
    architectures = sorted({deb.architecture for deb in debs})
    changes = {
        "Format": "1.8",
        "Date": format_datetime(DATE),
        "Source": name,
        "Binary": " ".join(deb.name for deb in debs),
        "Architecture": " ".join(([] if source is None else ["source"]) + architectures),
        "Version": version,
        "Distribution": distribution,
        "Urgency": "medium",
        "Maintainer": "Ada Example <ada@example.org>",
        "Changes": f"\n {name} ({version}) {distribution}; urgency=medium\n .\n   * A change.",
        "Checksums-Sha256": "".join(f"\n {_sha256(text)} {len(text)} {file}" for file, text in files.items()),
        "Files": "".join(
            f"\n {_md5(text)} {len(text)} {shown.get(file, 'utils')} optional {file}" for file, text in files.items()
        ),
    }
    text = _paragraph(changes, fields or {}).encode()
    signed = (by or signer("uploader")).sign_clear(text)
    return MadeUpload(f"{name}_{_plain(version)}_amd64.changes", signed, {**files, **(unlisted or {})})


def pool(component: str, source: str) -> str:
    """Say in which folder an archive keeps a source (written anew here: worlds do not lean on what they test)."""
    return f"pool/{component}/{source[:4] if source.startswith('lib') else source[:1]}/{source}"


def _paragraph(fields: Mapping[str, str], changed: Fields) -> str:
    merged = {**fields, **changed}
    return "".join(
        f"{name}:{'' if value.startswith(chr(10)) else ' '}{value}\n"
        for name, value in merged.items()
        if value is not None
    )


def _packed_tar(files: Mapping[str, bytes], executable: Collection[str] = ()) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        folders = {f"{'/'.join(path.split('/')[:depth])}/" for path in files for depth in range(1, path.count("/") + 1)}
        for folder in sorted(folders):
            member = tarfile.TarInfo(folder)
            member.type, member.mode, member.mtime = tarfile.DIRTYPE, 0o755, int(DATE.timestamp())
            tar.addfile(member)
        for path, content in sorted(files.items()):
            member = tarfile.TarInfo(path)
            member.size, member.mtime = len(content), int(DATE.timestamp())
            member.mode = 0o755 if path in executable else 0o644
            tar.addfile(member, io.BytesIO(content))
    return gzip.compress(out.getvalue(), 6, mtime=0)


def _ar_member(name: bytes, content: bytes) -> bytes:
    header = b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (name, int(DATE.timestamp()), 0, 0, b"100644", len(content))
    return header + content + b"\n" * (len(content) % 2)


def _plain(version: str) -> str:
    return version.rpartition(":")[2]


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
