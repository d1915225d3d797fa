"""From the name of an upstream archive to the order of its record: where this machine fetches it, and whom it believes."""

from collections.abc import Callable
from datetime import datetime

from distwright.archive.resolve import record_order, upstream_url
from distwright.config.model import Config
from distwright.config.tables_archive import UpstreamArchive
from distwright.errors import NotFound
from distwright.jobs.order import JobOrder
from distwright.model.digests import Sha256
from distwright.tools.apt import configured_sources


def order_of_record(
    config: Config,
    keep_keyring: Callable[[str], Sha256],
    name: str,
    *,
    given: str | None,
    serial: str | None,
    requested: datetime,
) -> JobOrder:
    """Order a record of an upstream archive. keep_keyring: keeps the keyring that a table names; given: fetch it from there.

    serial: as it shall be called, None for the next one; requested: makes it another order than the last. Raises NotFound.
    """
    archive = config.archives.get(name)
    if not isinstance(archive, UpstreamArchive):
        raise NotFound(f"archive {name} is no upstream archive", hint="distwright archive list")
    sources = [] if given or archive.fetch_from else configured_sources()
    url = given.rstrip("/") if given else upstream_url(name, archive, sources)
    keyring = keep_keyring(archive.keyring)
    return record_order(config, name, url=url, keyring=keyring, serial=serial, requested=requested)
