"""A recorded archive as clients see it: a small upstream, recorded by a small installation, served on loopback."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from tests.unit.archive.requests import record_request
from tests.worlds.apt import Apt, make_apt
from tests.worlds.archive import MIRROR, Upstream, UpstreamFetcher, signer
from tests.worlds.installation import CONFIG, WorldContext, make_context

from distwright.archive.record import Recorded, record
from distwright.archive.serving import RecordedServing
from distwright.archive.snapshots import PoolChoice
from distwright.config.load import parse_config
from distwright.errors import NotFound
from distwright.net.listen import LoopbackServer

_KEYS = CONFIG.replace(
    'live_url = "https://archive', 'key = { credential = "mirror" }\nlive_url = "https://archive'
).replace('live_url = "https://security', 'key = { credential = "mirror" }\nlive_url = "https://security')


@dataclass
class RecordedArchive:
    """The archive debian of an installation. Ours is the key `mirror`; upstream's is `upstream`.

    architectures: those recorded, all if there are none.
    """

    upstream: Upstream
    context: WorldContext
    architectures: tuple[str, ...] = ()
    translations: tuple[str, ...] = ("en",)

    def record(
        self,
        pool: PoolChoice | None = None,
        *,
        accept_expired: bool = False,
        has_udebs: bool = False,
        has_contents: bool = False,
        has_installer: bool = False,
        has_all_forms: bool = False,
    ) -> Recorded:
        """Record what upstream has now."""
        request = record_request(suites=self.upstream.suites, accept_expired=accept_expired)
        request = replace(
            request,
            pool=pool,
            credential="mirror",
            translations=self.translations,
            has_udebs=has_udebs,
            has_contents=has_contents,
            has_installer=has_installer,
            has_all_forms=has_all_forms,
            components=self.upstream.components,
            architectures=self.architectures or self.upstream.architectures,
        )
        return record(request, self.context, self.context.paths.cache / "pool")

    def cut_off(self) -> None:
        """Take the network away: what is served from now on is here."""
        assert isinstance(self.context.fetcher, UpstreamFetcher)
        self.context.fetcher.is_cut_off = True

    def read(self, path: str) -> bytes:
        """Give a served file."""
        with self._find(f"debian/{path}")[0] as file:
            return file.read()

    @contextmanager
    def served(self) -> Iterator[str]:
        """Serve over http; gives the base URL of the archive."""
        with LoopbackServer(self._find) as server:
            yield f"{server.url}/debian"

    def _find(self, path: str) -> tuple[BinaryIO, int]:
        archive, _, below = path.partition("/")
        if archive != "debian":
            target = self.context.paths.public / path
            if not target.is_file():
                raise NotFound(f"{path} is not here", hint="look at what is published")
            return target.open("rb"), target.stat().st_size
        paths = self.context.paths
        serving = RecordedServing("debian", self.context, paths.cache / "pool", self.context.now, public=paths.public)
        return serving.find(below)


def recorded_archive(folder: Path, upstream: Upstream) -> RecordedArchive:
    """Make an installation below a folder that has recorded nothing yet."""
    context = make_context(folder, upstream)
    context.config = parse_config([("distwright.toml", _KEYS)])
    assert isinstance(context.fetcher, UpstreamFetcher)
    assert list(context.fetcher.upstreams) == [MIRROR]
    return RecordedArchive(upstream, context)


def apt_of(folder: Path, url: str, key: str, *, suite: str = "stable") -> Apt:
    """Give an apt that trusts one key of the worlds."""
    return make_apt(folder, url, signer(key).certificate(), suite=suite)
