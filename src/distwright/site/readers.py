"""Who looks, and what they may see: everybody what is public, a person with a token what the configuration lets them read.

Only sums of tokens are kept: they are random and long, so a plain SHA-256 hides them.
"""

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime

from distwright.config.embargo import audience, is_private_archive, private_names
from distwright.config.model import Config
from distwright.config.tables_archive import Archive
from distwright.errors import NotAllowed, NotFound, quoted
from distwright.jobs.order import no_job
from distwright.model.digests import Json, sha256_of
from distwright.model.embargo import ARCHIVE, PUBLIC, REPO, Embargo
from distwright.model.records import Job
from distwright.store.database import Database, Transaction
from distwright.store.embargoes import list_embargoes
from distwright.store.jobs import find_job
from distwright.store.readers import ReaderRow, drop_reader, find_reader, keep_reader, list_readers

_NOBODY = "0" * 64


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who looks. person: who has proved to be one; "" is anybody."""

    config: Config
    person: str = ""

    def sees(self, embargo: Embargo) -> bool:
        """Say whether they may see what is under an embargo: only who may read all that it comes from."""
        return all(self.person in audience(self.config, name) for name in embargo.names)

    def sees_archive(self, name: str) -> bool:
        """Say whether they may see an archive, if there is one."""
        return not is_private_archive(self.config, name) or self.sees(Embargo(frozenset({f"{ARCHIVE}/{name}"})))

    def archive(self, name: str) -> Archive | None:
        """Find an archive; None for one that they may not see as well."""
        return self.config.archives.get(name) if self.sees_archive(name) else None

    def sees_branches_of(self, repo: str) -> bool:
        """Say whether they may see how the branches of a repo stand: of a public one everybody, of a private one who reads it."""
        table = self.config.repos.get(repo)
        return table is not None and (table.public or self.reads_repo(repo))

    def reads_repo(self, name: str) -> bool:
        """Say whether a repo is private, and they may read it."""
        table = self.config.repos.get(name)
        return table is not None and table.private and self.sees(Embargo(frozenset({f"{REPO}/{name}"})))

    def embargoes(self, tx: Transaction) -> set[str]:
        """Give the embargoes whose jobs and events they may see, as texts; "" is none."""
        return {embargo.text for embargo in (PUBLIC, *list_embargoes(tx)) if self.sees(embargo)}

    def job(self, tx: Transaction, number: int) -> Job:
        """Find a job; raise NotFound, in the same words for one that they may not see."""
        job = find_job(tx, number)
        if job is None or not self.sees(job.embargo):
            raise no_job(number)
        return job


def give_token(database: Database, config: Config, person: str, now: datetime) -> str:
    """Make a token for a person, in place of an earlier one; it is told once. Raises NotFound for nobody of the configuration."""
    if person not in config.persons:
        raise NotFound(f"the configuration has no person {quoted(person)}", hint="distwright config show")
    token = secrets.token_urlsafe(32)
    with database.write() as tx:
        keep_reader(tx, ReaderRow(person, sha256_of(token.encode()), now))
    return token


def take_token(database: Database, person: str) -> None:
    """Let a person's token count no more. Raises NotFound."""
    with database.write() as tx:
        if not drop_reader(tx, person):
            raise NotFound(f"{quoted(person)} has no token", hint="distwright reader list")


def person_of(database: Database, config: Config, name: str, token: str) -> str:
    """Say who proves to be a person with this token; raise NotAllowed. Takes as long for a wrong name as for a wrong token."""
    with database.read() as tx:
        row = find_reader(tx, name) if name in config.persons else None
    given = str(sha256_of(token.encode(errors="surrogateescape")))
    if not hmac.compare_digest(given, _NOBODY if row is None else str(row.token_hash)) or row is None:
        raise NotAllowed("no person has this name and token", hint="distwright reader token PERSON")
    return row.person


def private_rows(config: Config) -> list[dict[str, Json]]:
    """List what is private, and who may see what comes of it."""
    rows: list[dict[str, Json]] = []
    for name in sorted(private_names(config)):
        kind, _, own = name.partition("/")
        twin = config.repos[own].private_twin_of if kind == REPO else None
        readers = sorted(audience(config, name))
        rows.append({"kind": kind, "name": own, "twin of": twin or "", "readers": list(readers)})
    return rows


def reader_rows(database: Database, config: Config) -> list[dict[str, Json]]:
    """List the persons with a token, and what is private that they may see."""
    with database.read() as tx:
        rows = list_readers(tx)
    private = sorted(private_names(config))
    return [
        {
            "person": row.person,
            "given": f"{row.given_at:%Y-%m-%d %H:%M:%S}",
            "may see": [name for name in private if row.person in audience(config, name)],
        }
        for row in rows
    ]
