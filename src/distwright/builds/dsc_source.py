"""A source package by its .dsc: the file itself, by path or URL, and what it names, from beside it. Nothing of it is trusted."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from distwright.builds.resolve import GivenSource
from distwright.errors import BadInput, DistwrightError, NotFound, Refused, quoted
from distwright.formats.clearsign import without_armour
from distwright.formats.dsc import Dsc, parse_dsc
from distwright.formats.paths import safe_file_name
from distwright.formats.values import FileHash
from distwright.model.digests import Sha256
from distwright.net.fetcher import Fetcher
from distwright.signing.verify import Keyring
from distwright.store.objects import ObjectStore

DSC_LIMIT_BYTES = 4 << 20
SOURCE_LIMIT_BYTES = 4 << 30  # all files of one source package; the largest in Debian have less than 2 GiB
_MORE_BYTES = 1 << 16  # we stop ourselves at the first piece too many, and say what is wrong
_BEGINNING_BYTES = 1 << 12
_SCHEMES = ("http", "https", "file")
_AGAIN = "fetch the source package again: dget, or apt-get source"


class Holdings(Protocol):
    """Where a source package is kept, and the way to where it is."""

    @property
    def objects(self) -> ObjectStore:
        """Objects."""
        ...

    @property
    def fetcher(self) -> Fetcher:
        """The way out."""
        ...


@dataclass(frozen=True, slots=True)
class ReadSource:
    """A source package that was read. signers: fingerprints of those whose signature on the .dsc was verified."""

    source: GivenSource
    signers: tuple[str, ...] = field(default=())

    @property
    def said(self) -> str:
        """Say for people whether anybody answers for it."""
        if self.signers:
            return f"{self.source.origin} is signed by {', '.join(self.signers)}"
        return f"the signature of {self.source.origin} was not verified; to do it, add --keyring FILE"


def read_dsc(holdings: Holdings, place: str, keyring: Keyring | None) -> ReadSource:
    """Read a source package and keep its files. place: path (of this machine) or URL of a .dsc. keyring: who must have signed it.

    Each file must be beside the .dsc. One of this machine is read; of one on a server that is kept already only the beginning is
    compared, and the rest not fetched again: what is built has the bytes that the .dsc names in any case, and nobody gets an object
    out of the store by its hash alone.

    The .dsc is kept without its signature, for what goes to a suite of ours bears ours. Raises NotFound, Unreachable, BadInput (it
    is no .dsc, a name in it leads elsewhere), Refused (wrong hash or size, naming the file; no good signature; too large).
    """
    url = place if place.partition("://")[0] in _SCHEMES else _url_of(place)
    name = safe_file_name(unquote(_path_of(url).rpartition("/")[2]))
    if not name.endswith(".dsc"):
        raise BadInput(f"{quoted(place)} is no .dsc", hint="name the .dsc file, not a tarball or a folder")
    content = b"".join(holdings.fetcher.fetch(url, limit_bytes=DSC_LIMIT_BYTES))
    dsc, text, signers = _read(content, name, keyring)
    size = sum(file.size for file in dsc.files)
    if size > SOURCE_LIMIT_BYTES:
        raise Refused(f"{name} names files of {size} bytes, {SOURCE_LIMIT_BYTES} are allowed", hint=_AGAIN)
    files = {name_of(dsc): holdings.objects.put(text)}
    for file in dsc.files:
        files[file.name] = _kept(holdings, _beside(url, file.name), file, name)
    return ReadSource(GivenSource(dsc.source, dsc.version, files, name), signers)


def name_of(dsc: Dsc) -> str:
    """Say how the .dsc of a source package is called."""
    return f"{dsc.source}_{dsc.version.without_epoch}.dsc"


def unsigned(content: bytes) -> bytes:
    """Give the text of a .dsc without the signature that it may have, which is not looked at. Raises BadInput."""
    return without_armour(content).rstrip(b"\n") + b"\n"


def _read(content: bytes, name: str, keyring: Keyring | None) -> tuple[Dsc, bytes, tuple[str, ...]]:
    signers: tuple[str, ...] = ()
    try:
        if keyring is not None:
            signers = keyring.verify_clear(content, name).signers  # what it covers is what `unsigned` gives
        text = unsigned(content)
        dsc = parse_dsc(text)
    except BadInput as error:
        raise BadInput(f"{name}: {error.message}", hint=_AGAIN) from error
    named = [file.name for file in dsc.files]
    if name_of(dsc) in named or any(file.endswith(".dsc") for file in named):
        raise BadInput(f"{name} lists a .dsc among its files", hint=_AGAIN)
    return dsc, text, signers


def _kept(holdings: Holdings, url: str, file: FileHash, dsc_name: str) -> Sha256:
    """Keep a file if it is what the .dsc says; raise Refused, naming it, if it is not."""
    objects = holdings.objects
    try:
        if urlsplit(url).scheme != "file" and objects.touch(file.sha256) and objects.size(file.sha256) == file.size:
            _compare_beginning(holdings, url, file, dsc_name)
            return file.sha256
        with objects.writing() as writer:
            for piece in holdings.fetcher.fetch(url, limit_bytes=file.size + _MORE_BYTES):
                writer.write(piece)
                if writer.size_bytes > file.size:
                    raise _other(file, dsc_name, f"has more than {file.size} bytes")
            if writer.size_bytes != file.size:
                raise _other(file, dsc_name, f"has {writer.size_bytes} bytes instead of {file.size}")
            if writer.digest != file.sha256:
                raise _other(file, dsc_name, f"has SHA-256 {writer.digest} instead of {file.sha256}")
    except NotFound as error:
        raise NotFound(f"{file.name}, which {dsc_name} names, is not beside it", hint=_AGAIN) from error
    return file.sha256


def _compare_beginning(holdings: Holdings, url: str, file: FileHash, dsc_name: str) -> None:
    """Look whether a server has the file that is kept, by its first bytes; raise NotFound, Refused."""
    received = 0
    with holdings.objects.open(file.sha256) as kept:
        for piece in holdings.fetcher.fetch(url, limit_bytes=file.size + _MORE_BYTES):
            if kept.read(len(piece)) != piece:
                raise _other(file, dsc_name, "has other bytes")
            received += len(piece)
            if received >= _BEGINNING_BYTES:
                return
    if received != file.size:
        raise _other(file, dsc_name, f"has {received} bytes instead of {file.size}")


def _other(file: FileHash, dsc_name: str, how: str) -> DistwrightError:
    return Refused(f"{file.name} is not the file that {dsc_name} names: it {how}", hint=_AGAIN)


def _url_of(place: str) -> str:
    """Give a file of this machine as a URL; raise NotFound for what is none, which might never end."""
    path = Path(place)
    if not path.is_file():
        raise NotFound(f"{quoted(place)} does not exist, or is no file", hint="name a .dsc file by path or URL")
    return path.absolute().as_uri()


def _beside(url: str, name: str) -> str:
    parts = urlsplit(url)
    folder = parts.path.rpartition("/")[0]
    return urlunsplit((parts.scheme, parts.netloc, f"{folder}/{quote(name, safe='+~')}", "", ""))


def _path_of(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        raise BadInput(f"{quoted(url)} is no URL", hint="name a .dsc file by path or URL") from None
