"""Which keys of ours a configuration and an order need, by the names of their credentials. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from distwright.builds.destinations import BUILD_KIND
from distwright.builds.package import BUILDER_CREDENTIAL
from distwright.config.model import Config
from distwright.config.tables_archive import OwnArchive
from distwright.errors import NotFound
from distwright.images.forms import MAKING
from distwright.images.kits import KIND as KIT_KIND
from distwright.images.upgrades import IMAGE_CREDENTIAL
from distwright.jobs.order import JobOrder
from distwright.model import plain


class KeyMissing(NotFound):
    """What would be made is signed at its end, and the key for that is not there yet: it is not begun."""


@dataclass(frozen=True, slots=True)
class NeededKey:
    """signs: what, for people. user_id: what a key says of itself that is made here."""

    credential: str
    signs: str
    user_id: str


def keys_of_config(config: Config) -> list[NeededKey]:
    """List the keys that a configuration needs, each once, by the names of their credentials."""
    found: dict[str, list[NeededKey]] = {}
    for name, archive in config.archives.items():
        if isinstance(archive, OwnArchive):
            credentials = archive.credentials
        else:
            credentials = () if archive.key is None else (archive.key.credential,)
        for credential in credentials:
            user_id = f"{archive.label or name} archive key <{credential}@{name}.invalid>"
            found.setdefault(credential, []).append(NeededKey(credential, f"archive {name}", user_id))
    packages = [repo for repo in config.repos.values() if repo.package]
    if packages or any(suite.environment is not None for suite in config.suites.values()):
        found.setdefault(BUILDER_CREDENTIAL, []).append(_of_site(config, BUILDER_CREDENTIAL, "built packages"))
    if config.images:
        found.setdefault(IMAGE_CREDENTIAL, []).append(_of_site(config, IMAGE_CREDENTIAL, "images and their upgrades"))
    return [
        NeededKey(credential, ", ".join(use.signs for use in uses), uses[0].user_id)
        for credential, uses in sorted(found.items())
    ]


def _of_site(config: Config, credential: str, signs: str) -> NeededKey:
    return NeededKey(credential, signs, f"{config.site.name} {credential} key <{credential}@distwright.invalid>")


def keys_of_order(config: Config, order: JobOrder) -> tuple[str, ...]:
    """Name the keys without which the job of an order would work, and then fail at its end or lead to nothing."""
    if order.kind.name in (*MAKING, KIT_KIND.name):
        return (IMAGE_CREDENTIAL,)
    if order.kind == BUILD_KIND:
        archive = config.archives.get(plain.text(order.inputs, "archive"))
        return (BUILDER_CREDENTIAL, *(archive.credentials if isinstance(archive, OwnArchive) else ()))
    return ()


def refuse_without_keys(config: Config, order: JobOrder, has_key: Callable[[str], bool]) -> None:
    """Raise KeyMissing for an order whose job could not sign what it makes. has_key: of a credential."""
    missing = [credential for credential in keys_of_order(config, order) if not has_key(credential)]
    if missing:
        raise KeyMissing(
            f"key {' and key '.join(missing)} is not there, which must sign what “{order.title}” makes",
            hint=f"distwright key make {' '.join(missing)}",
        )
