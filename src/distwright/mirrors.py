"""Where this machine fetches from: its mirrors as given, configured, or known to apt, and how, with apt's proxy."""

from collections.abc import Callable, Mapping
from functools import cache

from distwright import __version__
from distwright.archive.resolve import upstream_url
from distwright.config.model import Config
from distwright.config.tables_archive import UpstreamArchive
from distwright.errors import DistwrightError
from distwright.net.fetcher import Fetcher, LateFetcher
from distwright.tools.apt import AptSource, configured_proxy, configured_sources


def present_mirrors(config: Config, given: Mapping[str, str], name: str) -> list[str]:
    """Say where this machine fetches an upstream archive now: as given, as fetch_from says, or as apt does; [] if nowhere."""
    archive = config.archives.get(name)
    if not isinstance(archive, UpstreamArchive):
        return []
    if name in given:
        return [given[name].rstrip("/")]
    try:
        return [upstream_url(name, archive, [] if archive.fetch_from else _apt_sources())]
    except DistwrightError:  # apt has no such archive, or does not work: the mirror of the record is left
        return []


@cache
def _apt_sources() -> list[AptSource]:
    """Ask apt once in each process: it takes a tenth of a second, and a shelf asks for every file."""
    return configured_sources()


def make_fetcher(check_cancelled: Callable[[], None] = lambda: None) -> Fetcher:
    """Give the fetcher of this machine, with apt's proxy. check_cancelled: what it raises ends a fetch."""

    def make() -> Fetcher:
        from distwright.net.fetch import NetFetcher

        return NetFetcher(agent=f"distwright/{__version__}", proxy=configured_proxy(), check_cancelled=check_cancelled)

    return LateFetcher(make)
