"""The one builder of small worlds: packages, uploads, and a signed upstream archive that changes and breaks over time.

    upstream = Upstream()
    upstream.add(make_deb("hello", "1.0"))
    upstream.publish()
    fetcher = UpstreamFetcher({"http://mirror.example/debian": upstream})

What a mirror serves is `upstream.files`, path -> bytes; a defect is a change to it after `publish`.
"""

import gzip
import hashlib
import lzma
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tests.worlds.keys import key_file, signer
from tests.worlds.packages import MadeDeb, MadeSource, MadeUpload, make_deb, make_source, make_upload
from tests.worlds.times import DATE, DAY, NOW

from distwright.errors import NotFound, Unreachable
from distwright.net.fetcher import NO_VALIDATORS, Page, Validators
from distwright.signing.signer import Signer

__all__ = [
    "DATE", "DAY", "MIRROR", "NOW", "MadeDeb", "MadeSource", "MadeUpload", "Upstream", "UpstreamFetcher", "key_file", "make_deb",
    "make_source", "make_upload", "signer",
]  # fmt: skip

MIRROR = "http://mirror.example/debian"
_COMPRESSIONS: Mapping[str, Callable[[bytes], bytes]] = {
    "": lambda text: text,
    ".gz": lambda text: gzip.compress(text, 6, mtime=0),
    ".xz": lambda text: lzma.compress(text, preset=0),
}


@dataclass(slots=True)
class Upstream:
    """An archive of somebody else. has_all: Release names the architecture `all`, as Debian's does.

    endings: compressions that it offers. valid_days: of each Release; None for no Valid-Until.
    """

    suites: tuple[str, ...] = ("stable",)
    components: tuple[str, ...] = ("main",)
    architectures: tuple[str, ...] = ("amd64",)
    origin: str = "Debian"
    label: str = "Debian"
    key: Signer = field(default_factory=lambda: signer("upstream"))
    by_hash: bool = True
    has_all: bool = True
    endings: tuple[str, ...] = (".gz", ".xz")
    valid_days: int | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    _debs: dict[tuple[str, str], list[MadeDeb]] = field(default_factory=dict)
    _sources: dict[tuple[str, str], list[MadeSource]] = field(default_factory=dict)
    _more: dict[str, Mapping[str, bytes]] = field(default_factory=dict)

    def add(self, *packages: MadeDeb | MadeSource, suite: str | None = None, component: str = "main") -> None:
        """Put packages into a suite (the first one); an older version of the same name goes. Served after `publish`."""
        place = (suite or self.suites[0], component)
        for package in packages:
            if isinstance(package, MadeDeb):
                kept = [deb for deb in self._debs.get(place, []) if deb.name != package.name]
                self._debs[place] = [*kept, package]
                self.files[package.pool_path(component)] = package.content
            else:
                others = [source for source in self._sources.get(place, []) if source.name != package.name]
                self._sources[place] = [*others, package]
                folder = package.stanza(component).partition("Directory: ")[2].partition("\n")[0]
                self.files |= {f"{folder}/{name}": content for name, content in package.files.items()}

    def packages(self, suite: str | None = None, component: str = "main") -> list[MadeDeb]:
        """List the binary packages of a suite (the first one)."""
        return list(self._debs.get((suite or self.suites[0], component), []))

    def add_indexes(self, suite: str, more: Mapping[str, bytes]) -> None:
        """Have further indexes in a suite, by path; served after `publish`."""
        self._more[suite] = more

    def publish(self, date: datetime = DATE, *, only: str | None = None) -> None:
        """Serve the present state with a new Release of each suite, or of one. By-hash files of earlier states stay."""
        for suite in self.suites if only is None else (only,):
            self._publish(suite, date)

    def edit(self, path: str, change: Callable[[bytes], bytes]) -> None:
        """Change what is served at a path."""
        self.files[path] = change(self.files[path])

    def edit_all(self, part: str, change: Callable[[bytes], bytes]) -> None:
        """Change everything that is served at paths with `part` in them; there must be something."""
        paths = [path for path in self.files if part in path]
        assert paths, part
        for path in paths:
            self.edit(path, change)

    def forget(self, part: str) -> None:
        """Serve no longer what has `part` in its path, `/by-hash/` for example; there must be something."""
        kept = {path: content for path, content in self.files.items() if part not in path}
        assert len(kept) < len(self.files), part
        self.files = kept

    def write(self, folder: Path) -> str:
        """Write everything below a folder and give its `file:` URL."""
        for path, content in self.files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        return f"file://{folder}"

    def indexes(self, suite: str) -> dict[str, bytes]:
        """Render the indexes of a suite, uncompressed."""
        rendered: dict[str, bytes] = dict(self._more.get(suite, {}))
        for component in self.components:
            debs = sorted(self._debs.get((suite, component), []), key=lambda deb: deb.name)
            sources = sorted(self._sources.get((suite, component), []), key=lambda source: source.name)
            of_all = [deb for deb in debs if deb.architecture == "all"]
            for architecture in self.architectures:
                members = [deb for deb in debs if deb.architecture in (architecture, "all")]
                rendered[f"{component}/binary-{architecture}/Packages"] = _index(
                    deb.stanza(component) for deb in members
                )
            if self.has_all:
                rendered[f"{component}/binary-all/Packages"] = _index(deb.stanza(component) for deb in of_all)
            rendered[f"{component}/source/Sources"] = _index(source.stanza(component) for source in sources)
            rendered[f"{component}/i18n/Translation-en"] = _index(
                f"Package: {deb.name}\nDescription-md5: {_description_md5(deb)}\n"
                f"Description-en: {deb.name} of a small world\n"
                for deb in debs
            )
        return rendered

    def _publish(self, suite: str, date: datetime) -> None:
        folder = f"dists/{suite}"
        rows = []
        for path, text in self.indexes(suite).items():
            for ending in ("", *self.endings):
                content = _COMPRESSIONS[ending](text)
                digest = hashlib.sha256(content).hexdigest()
                rows.append(f" {digest} {len(content)} {path}{ending}\n")
                if not ending and not path.endswith("/Release"):
                    continue  # named in Release, as Debian does, but not served
                self.files[f"{folder}/{path}{ending}"] = content
                if self.by_hash:
                    self.files[f"{folder}/{path.rpartition('/')[0]}/by-hash/SHA256/{digest}"] = content
        release = self._head(suite, date) + "".join(rows)
        self.files[f"{folder}/Release"] = release.encode()
        self.files[f"{folder}/InRelease"] = self.key.sign_clear(release.encode())
        self.files[f"{folder}/Release.gpg"] = self.key.sign_detached(release.encode())

    def _head(self, suite: str, date: datetime) -> str:
        until = "" if self.valid_days is None else f"Valid-Until: {_rfc(date + self.valid_days * DAY)}\n"
        return (
            f"Origin: {self.origin}\nLabel: {self.label}\nSuite: {suite}\nCodename: {suite}\nDate: {_rfc(date)}\n{until}"
            f"{'Acquire-By-Hash: yes' + chr(10) if self.by_hash else ''}"
            f"Architectures: {' '.join((['all'] if self.has_all else []) + list(self.architectures))}\n"
            f"Components: {' '.join(self.components)}\nDescription: a small world\nSHA256:\n"
        )


@dataclass(slots=True)
class UpstreamFetcher:
    """A Fetcher that reads upstreams by their base URL. before: called with each URL first, so that a world can move meanwhile."""

    upstreams: Mapping[str, Upstream]
    before: Callable[[str], None] | None = None
    asked: list[str] = field(default_factory=list)
    is_cut_off: bool = False
    piece_bytes: int = 100

    def fetch(self, url: str, *, limit_bytes: int) -> Iterator[bytes]:
        """Yield the content in small pieces, as a network does."""
        self.asked.append(url)
        if self.before is not None:
            self.before(url)
        if self.is_cut_off:
            raise Unreachable(f"{url} cannot be fetched: no network", hint="check the network")
        content = self._content(url)
        for start in range(0, len(content), self.piece_bytes):
            piece = content[start : start + self.piece_bytes]
            if start + len(piece) > limit_bytes:
                raise Unreachable(
                    f"{url} sends more than {limit_bytes} bytes", hint="compare the address with what the mirror serves"
                )
            yield piece

    def fetch_page(self, url: str, *, limit_bytes: int, known: Validators = NO_VALIDATORS) -> Page | None:
        """Give the whole content, known again by its digest."""
        content = b"".join(self.fetch(url, limit_bytes=limit_bytes))
        validators = Validators(f'"{hashlib.sha256(content).hexdigest()}"')
        return None if validators == known else Page(content, validators)

    def _content(self, url: str) -> bytes:
        for base, upstream in self.upstreams.items():
            path = url.removeprefix(f"{base}/")
            if path != url and path in upstream.files:
                return upstream.files[path]
        raise NotFound(f"{url} is not on the server (404)", hint="try another mirror")


def _index(stanzas: Iterator[str]) -> bytes:
    return "\n".join(stanzas).encode()


def _description_md5(deb: MadeDeb) -> str:
    """Give the digest that a package refers to its description by; of nothing, if it has its description itself."""
    _, _, rest = deb.control.partition("\nDescription-md5: ")
    return rest.partition("\n")[0] or hashlib.md5(b"", usedforsecurity=False).hexdigest()


def _rfc(moment: datetime) -> str:
    return f"{moment:%a, %d %b %Y %H:%M:%S} UTC"
