"""What ends soon, of the whole installation: the doctor asks, and a daily command renews what can be renewed."""

from datetime import datetime

from distwright.archive.endings import Ending, Sight, look_ahead
from distwright.archive.renewing import renew_due, tell_endings
from distwright.archive.resolve import machine_keyring
from distwright.config.model import Config
from distwright.jobs.step import Context
from distwright.site.applied import applied_keyring, load_applied
from distwright.store.database import Database
from distwright.store.migrations import NEWEST, version_of
from distwright.store.objects import FileObjects, ObjectStore
from distwright.store.paths import StatePaths
from distwright.worker.context import signer_of


def what_ends(paths: StatePaths, now: datetime) -> list[Ending]:
    """List what is needed and has ended or ends soon; nothing for a state that is not there, or has no configuration yet."""
    if not paths.has_database:
        return []
    database, objects = Database(paths.database_url), FileObjects(paths.objects)
    try:
        with database.read() as tx:
            is_ours = version_of(tx) == NEWEST  # the doctor changes nothing, so it does not migrate either
        found = load_applied(database, objects) if is_ours else None
        return [] if found is None else look_ahead(_sight(found[0], database, objects, paths), now)
    finally:
        database.close()


def renew(context: Context) -> list[Ending]:
    """Sign anew what is needed and ends soon, and tell of what ends all the same; give that."""
    renew_due(context)
    sight = _sight(context.config, context.database, context.objects, context.paths)
    endings = look_ahead(sight, context.now())
    tell_endings(context, endings)
    return endings


def _sight(config: Config, database: Database, objects: ObjectStore, paths: StatePaths) -> Sight:
    def keyring(path: str) -> bytes:
        if path.startswith("/"):
            return machine_keyring(path)
        return objects.read(applied_keyring(database, objects, path))

    def certificate(*credentials: str) -> bytes:
        return signer_of(paths, credentials).certificate()

    return Sight(config, database, objects, certificate, keyring)
