"""The doctor's question about what ends soon: keys, snapshots that are needed, published suites."""

from datetime import datetime

from distwright.archive.endings import Ending, Sight, look_ahead
from distwright.archive.resolve import machine_keyring
from distwright.site.applied import applied_keyring, load_applied
from distwright.store.database import Database
from distwright.store.migrations import NEWEST, version_of
from distwright.store.objects import FileObjects
from distwright.store.paths import StatePaths
from distwright.worker.context import signer_of


def what_ends(paths: StatePaths, now: datetime) -> list[Ending]:
    """List what is needed and has ended or ends soon; nothing for a state that is not there, or has no configuration yet."""
    if not paths.database.exists():
        return []
    database, objects = Database(paths.database_url), FileObjects(paths.objects)
    try:
        with database.read() as tx:
            is_ours = version_of(tx) == NEWEST  # the doctor changes nothing, so it does not migrate either
        found = load_applied(database, objects) if is_ours else None
        if found is None:
            return []

        def keyring(path: str) -> bytes:
            if path.startswith("/"):
                return machine_keyring(path)
            return objects.read(applied_keyring(database, objects, path))

        def certificate(*credentials: str) -> bytes:
            return signer_of(paths, credentials).certificate()

        return look_ahead(Sight(found[0], database, objects, certificate, keyring), now)
    finally:
        database.close()
