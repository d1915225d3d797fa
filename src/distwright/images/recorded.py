"""How the states that an image is made from were recorded: settings of archives and certificates, as applied when it was ordered.

A bundle says it to others. It is a part of the order, so that a configuration that is applied while the image is built changes
nothing of what is said of it.
"""

import json
from collections.abc import Iterable, Mapping

from distwright.archive.resolve import machine_keyring
from distwright.config.model import Config
from distwright.config.tables_archive import UpstreamArchive
from distwright.errors import NotFound
from distwright.jobs.step import Inputs
from distwright.model import plain
from distwright.model.digests import Json, Sha256
from distwright.store.database import Database
from distwright.store.objects import ObjectStore
from distwright.store.refs import applied_config

SETTINGS = frozenset({
    "kind", "suites", "components", "architectures", "sources", "translations", "keyring", "origin", "label", "udebs", "contents",
    "installer", "all_forms",
})  # fmt: skip


def recorded_archives(
    database: Database, config: Config, objects: ObjectStore, archives: Iterable[str]
) -> dict[str, Json]:
    """Give archive -> its settings, and the object of the certificates that count for it, as they are now.

    Raises NotFound for an archive or a file that the configuration has not, and what reading a file of this machine raises.
    """
    return {name: _archive(database, config, objects, name) for name in sorted(set(archives))}


def _archive(database: Database, config: Config, objects: ObjectStore, name: str) -> Json:
    table = config.archives.get(name)
    if not isinstance(table, UpstreamArchive):
        raise NotFound(f"archive {name} is configured no more", hint="distwright archive list")
    settings: dict[str, Json] = table.model_dump(mode="json", by_alias=True, exclude_none=True, include=set(SETTINGS))
    keyring = _keyring(database, objects, plain.text(settings, "keyring"))
    return {"settings": settings, "keyring": str(keyring)}


def _keyring(database: Database, objects: ObjectStore, path: str) -> Sha256:
    """Keep the certificates of a file of this machine, or of the applied configuration."""
    if path.startswith("/"):
        return objects.put(machine_keyring(path))
    with database.read() as tx:
        row = applied_config(tx)
    kept = {} if row is None else json.loads(objects.read(row.config))["keyrings"]
    if path not in kept:
        raise NotFound(
            f"the applied configuration has no file {path}", hint="distwright config apply COMMIT --repo REPO"
        )
    return Sha256(kept[path])


def recorded_in(inputs: Inputs) -> Mapping[str, plain.Plain] | None:
    """Give what an order says, by archive; None if it was made before orders said it, in form 5."""
    if "recorded" not in inputs:
        return None
    said = plain.mapping(inputs, "recorded")
    return {name: plain.mapping(said, name) for name in said}
