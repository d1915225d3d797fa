"""What clients paste to use an archive: as it moves on, in a snapshot, or under a tag; with the key that signs exactly that."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from distwright.archive.handout import keyring_path, sources_text
from distwright.archive.own_snapshots import parse_own_snapshot
from distwright.archive.resigned import parse_resigned
from distwright.archive.resolve import upstream_credential
from distwright.archive.snapshots import parse_snapshot
from distwright.archive.tag_trees import parse_tag
from distwright.config.model import Config
from distwright.config.tables_archive import OwnArchive, UpstreamArchive
from distwright.errors import NotFound, quoted
from distwright.model.records import Snapshot
from distwright.signing.armor import armoured
from distwright.site.applied import applied_keyring
from distwright.store.archives import find_snapshot, list_publications, newest_snapshot
from distwright.store.database import Database
from distwright.store.objects import ObjectStore
from distwright.store.signed import find_resigned, find_tag
from distwright.store.suites import list_suites


@dataclass(frozen=True, slots=True)
class Handout:
    """The archives of an installation, for their clients. certificate: gives the public certificate of credentials."""

    database: Database
    objects: ObjectStore
    config: Config
    certificate: Callable[..., bytes]
    now: Callable[[], datetime]

    def suites(self, name: str, *, serial: str = "", tag: str = "") -> list[str]:
        """List the suites that clients find in a state of an archive; raise NotFound."""
        archive = self._archive(name)
        if tag:
            return sorted(self._tagged(name, tag))
        if isinstance(archive, OwnArchive):
            return self._in_own_snapshot(name, serial) if serial else self._own(name)
        if not serial:
            return list(archive.suites)
        return list(parse_snapshot(self.objects.read(self._snapshot(name, serial).digest)).suites)

    def sources(
        self, name: str, suite: str, url: str, *, serial: str = "", tag: str = "", by_package: bool = False
    ) -> str:
        """Give deb822 sources of a suite in a state. url: of the archive. by_package: name our keyring package's file.

        Raises NotFound, and Refused if we sign that and have no key for it.
        """
        archive = self._archive(name)
        if suite not in [*self.suites(name, serial=serial, tag=tag), *([] if tag else self._codenames(name))]:
            raise NotFound(
                f"{_named(name, serial, tag)} has no suite {quoted(suite)}", hint=f"distwright snapshot list {name}"
            )
        is_own = isinstance(archive, OwnArchive)
        below = f"/snapshots/{tag or serial}" if tag or (serial and is_own) else f"/{serial}" if serial else ""
        has_sources = isinstance(archive, OwnArchive) or archive.sources
        return sources_text(
            f"{url}{below}",
            suite,
            archive.components,
            self._signed_by(name, archive, suite, serial, tag, by_package=by_package),
            kinds="deb deb-src" if has_sources else "deb",
        )

    def served_serials(self, name: str) -> set[str]:
        """Give the snapshots of an archive of ours that clients can use."""
        with self.database.read() as tx:
            return {row.serial for row in list_publications(tx, archive=name, state="live") if row.serial}

    def _signed_by(
        self, name: str, archive: OwnArchive | UpstreamArchive, suite: str, serial: str, tag: str, *, by_package: bool
    ) -> bytes | str:
        if isinstance(archive, OwnArchive):
            return keyring_path(name) if by_package else self.certificate(*archive.credentials)
        if tag or archive.serve == "filtered" or self._is_resigned(name, suite, serial):
            return keyring_path(name) if by_package else self.certificate(upstream_credential(self.config, name))
        if archive.keyring.startswith("/"):
            return archive.keyring
        return armoured(self.objects.read(applied_keyring(self.database, self.objects, archive.keyring)))

    def _is_resigned(self, name: str, suite: str, serial: str) -> bool:
        """Say whether clients get our signature of a recorded suite by now."""
        with self.database.read() as tx:
            row = find_snapshot(tx, name, serial) if serial else newest_snapshot(tx, name)
            signed = None if row is None else find_resigned(tx, name, row.serial)
        found = None if signed is None else parse_resigned(self.objects.read(signed.document)).suites.get(suite)
        return found is not None and found.is_served(self.now())

    def _archive(self, name: str) -> OwnArchive | UpstreamArchive:
        archive = self.config.archives.get(name)
        if archive is None:
            raise NotFound(f"there is no archive {quoted(name)}", hint="distwright archive list")
        return archive

    def _codenames(self, name: str) -> list[str]:
        """List the second names of suites of ours; tagged snapshots have none."""
        return [table.codename for table in self.config.suites.values() if table.archive == name and table.codename]

    def _own(self, name: str) -> list[str]:
        with self.database.read() as tx:
            return [row.name for row in list_suites(tx) if row.archive == name]

    def _in_own_snapshot(self, name: str, serial: str) -> list[str]:
        """List the suites of a snapshot of ours that is served."""
        row = self._snapshot(name, serial)
        with self.database.read() as tx:
            served = {one.suite for one in list_publications(tx, archive=name, state="live") if one.serial == serial}
        if not served:
            raise NotFound(
                f"snapshot {serial} of {name} is not served", hint=f"distwright snapshot publish {name} {serial}"
            )
        return sorted(served & parse_own_snapshot(self.objects.read(row.digest)).suites.keys())

    def _snapshot(self, name: str, serial: str) -> Snapshot:
        with self.database.read() as tx:
            row = find_snapshot(tx, name, serial)
        if row is None:
            raise NotFound(f"archive {name} has no snapshot {quoted(serial)}", hint=f"distwright snapshot list {name}")
        return row

    def _tagged(self, name: str, tag: str) -> list[str]:
        with self.database.read() as tx:
            row = find_tag(tx, name, tag)
        if row is None:
            raise NotFound(f"archive {name} has no tag {quoted(tag)}", hint=f"distwright snapshot tags {name}")
        return list(parse_tag(self.objects.read(row.digest)).suites)


def _named(name: str, serial: str, tag: str) -> str:
    return f"tag {tag} of {name}" if tag else f"snapshot {serial} of {name}" if serial else f"archive {name}"
