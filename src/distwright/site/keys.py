"""The keys of an installation: which it needs, which are there, and making those that are not."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from distwright.archive.resolve import upstream_credential
from distwright.config.model import Config
from distwright.config.tables_archive import OwnArchive
from distwright.errors import DistwrightError, NotFound, quoted
from distwright.flow.keys import NeededKey, keys_of_config
from distwright.signing.signer import make_key
from distwright.store.paths import StatePaths
from distwright.worker.context import is_key_there, signer_of


@dataclass(frozen=True, slots=True)
class KeyState:
    """fingerprints: of the key, empty where it cannot be used. problem: why not, or ""."""

    needed: NeededKey
    fingerprints: tuple[str, ...]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a state."""

    paths: StatePaths

    @property
    def may_look(self) -> bool:
        """Whether we may see which keys there are: others than the owner of a state see none."""
        return os.access(self.paths.keys, os.R_OK | os.X_OK)

    def has(self, credential: str) -> bool:
        """Say whether there is a key of this name, whatever it is good for."""
        return is_key_there(self.paths, credential)

    def certificate(self, *credentials: str) -> bytes:
        """Give the public certificate of a credential; of several, all in one block. Raises NotFound, Refused."""
        return signer_of(self.paths, credentials).certificate()

    def make(self, credential: str, user_id: str) -> bool:
        """Make the key of a credential unless it is there, or somewhere else (signing/named.py); say whether it was made."""
        return not self.has(credential) and make_key(self.paths.key(credential), user_id)

    def missing(self, config: Config) -> list[NeededKey]:
        """List those that a configuration needs and that are not there."""
        return [needed for needed in keys_of_config(config) if not self.has(needed.credential)]

    def look(self, config: Config) -> list[KeyState]:
        """Look at each that a configuration needs."""
        return [self._look(needed) for needed in keys_of_config(config)]

    def make_needed(self, config: Config, names: Sequence[str] = ()) -> list[tuple[NeededKey, bool]]:
        """Make those that a configuration needs, or only some of them; say of each whether it was made now.

        Raises NotFound, before any is made, for a name that it does not need: it would be a slip, and sign nothing.
        """
        needed = {one.credential: one for one in keys_of_config(config)}
        for name in names:
            if name not in needed:
                raise NotFound(
                    f"the configuration needs no key {quoted(name)}, but {', '.join(needed) or 'none'}",
                    hint="distwright key list",
                )
        wanted = [needed[name] for name in dict.fromkeys(names)] if names else list(needed.values())
        return [(one, self.make(one.credential, one.user_id)) for one in wanted]

    def _look(self, needed: NeededKey) -> KeyState:
        if not self.has(needed.credential):
            return KeyState(needed, (), "missing")
        try:
            return KeyState(needed, signer_of(self.paths, [needed.credential]).fingerprints)
        except DistwrightError as error:
            return KeyState(needed, (), error.message)


def own_archive(config: Config, name: str) -> OwnArchive:
    """Give the table of an archive of ours; raise NotFound."""
    archive = config.archives.get(name)
    if not isinstance(archive, OwnArchive):
        raise NotFound(f"archive {quoted(name)} is not an archive of ours", hint="distwright archive list")
    return archive


def signing_credentials(config: Config, name: str) -> tuple[str, ...]:
    """Name the keys that we sign an archive with, ours or a recorded one; raise NotFound, Refused."""
    archive = config.archives.get(name)
    return archive.credentials if isinstance(archive, OwnArchive) else (upstream_credential(config, name),)


def said_missing(missing: list[NeededKey]) -> str:
    """Say in a line which keys are missing, and for what."""
    return "; ".join(f"key {one.credential} is missing, which signs {one.signs}" for one in missing)
