"""Judge what an upstream signed, and choose what of it to record: pure decisions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from distwright.archive.indexes import UDEBS
from distwright.archive.snapshots import PoolChoice
from distwright.archive.unrecorded import SUMS
from distwright.errors import Refused, quoted
from distwright.formats.compression import ENDINGS, split_ending
from distwright.formats.release import IndexEntry, Release
from distwright.signing.verify import Keyring


@dataclass(frozen=True, slots=True)
class RecordRequest:
    """What to record, from where. keyring: the certificates that must have signed. origin, label: "" or what Release must say.

    has_udebs, has_contents: keep the lists of the installer and of files too, where upstream has them. has_all_forms: keep lists
    in every compression. has_installer: its present images. pool: which pool files come with the record; None for those that are
    asked for. credential: the key that signs what we change (a filtered record), or "". together: suites of other archives that
    clients use too, `archive/suite`; together_packages: what is listed for these.
    """

    archive: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    architectures: tuple[str, ...]
    has_sources: bool
    translations: tuple[str, ...]
    origin: str
    label: str
    accept_expired: bool
    url: str
    keyring: Keyring
    has_udebs: bool = False
    has_contents: bool = False
    has_all_forms: bool = False
    pool: PoolChoice | None = None
    credential: str = ""
    has_installer: bool = False
    together: tuple[str, ...] = ()
    together_packages: tuple[str, ...] = ()


def check_release(release: Release, request: RecordRequest, suite: str, now: datetime) -> list[str]:
    """Judge a signed Release; give notes for what was accepted by request, raise Refused for what is not acceptable."""
    what = f"{request.archive}/{suite}"
    if suite not in (release.suite, release.codename):
        raise Refused(
            f"Release of {what} calls itself {quoted(release.codename or release.suite or '')}",
            hint="name the right archive in fetch_from",
        )
    for field, expected, found in (("Origin", request.origin, release.origin), ("Label", request.label, release.label)):
        if expected and expected != found:
            raise Refused(
                f"Release of {what} has {field} {quoted(found or '')}, want {quoted(expected)}",
                hint="name the right archive in fetch_from",
            )
    if release.date > now and (release.date - now).total_seconds() > 24 * 3600:
        raise Refused(
            f"Release of {what} is dated {release.date:%Y-%m-%d %H:%M}, in the future",
            hint="set this machine's clock right (date -u), or use another mirror",
        )
    if release.valid_until is None or release.valid_until >= now:
        return []
    expired = f"Release of {what} expired on {release.valid_until:%Y-%m-%d %H:%M} UTC"
    if not request.accept_expired:
        raise Refused(expired, hint="use another mirror in fetch_from; for an old mirror set accept_expired = true")
    return [f"{expired}; accepted, as accept_expired says"]


def wanted_indexes(release: Release, request: RecordRequest) -> list[IndexEntry]:
    """Choose the index files to keep: per component Packages of each architecture and all, Sources, translations; more if asked.

    Of each the best compression that Release lists. Raises Refused if a Packages file is not listed at all.
    """
    stems = [stem for component in request.components for stem in _stems(release, request, component)]
    if request.has_contents:
        stems += [(f"Contents-{name}", False) for name in request.architectures]
    chosen: list[IndexEntry] = []
    for stem, is_required in stems:
        listed = [release.indexes[stem + ending] for ending in ENDINGS if stem + ending in release.indexes]
        if listed:
            chosen.append(listed[0])
        elif is_required:
            raise Refused(
                f"Release of {request.archive} lists no {stem}",
                hint="look at components and architectures of the archive",
            )
    return chosen + (_sums(release, request) if request.has_installer else [])


def _sums(release: Release, request: RecordRequest) -> list[IndexEntry]:
    """Choose the checksums of the installer's images, which upstream has uncompressed."""
    paths = [
        f"{component}/installer-{name}/current/images/{SUMS}"
        for component in request.components
        for name in request.architectures
    ]
    return [release.indexes[path] for path in paths if path in release.indexes]


def wanted_copies(release: Release, request: RecordRequest, chosen: Sequence[IndexEntry]) -> list[IndexEntry]:
    """Choose the other compressions of chosen indexes that Release lists, and the Release of each of their folders."""
    if not request.has_all_forms:
        return []
    stems = [split_ending(entry.path)[0] for entry in chosen]
    paths = [f"{stem}{ending}" for stem in stems for ending in ENDINGS if ending]
    paths += [f"{stem.rpartition('/')[0]}/Release" for stem in stems]
    kept = {entry.path for entry in chosen}
    return [release.indexes[path] for path in dict.fromkeys(paths) if path in release.indexes and path not in kept]


def _stems(release: Release, request: RecordRequest, component: str) -> list[tuple[str, bool]]:
    """Name the indexes of a component without their compression, and whether they must exist."""
    stems = [(f"{component}/binary-{name}/Packages", True) for name in request.architectures]
    has_all = (
        "all" in release.architectures
    )  # otherwise apt never reads it, and debian-security leaves a stale one there
    if has_all:
        stems.append((f"{component}/binary-all/Packages", False))
    if request.has_sources:
        stems.append((f"{component}/source/Sources", True))
    stems += [(f"{component}/i18n/Translation-{language}", False) for language in request.translations]
    names = (*request.architectures, *(("all",) if has_all else ()))
    if request.has_udebs:
        stems += [(f"{component}/{UDEBS}/binary-{name}/Packages", False) for name in names]
    if request.has_contents:
        stems += [(f"{component}/Contents-{name}", False) for name in names]
    if request.has_contents and request.has_udebs:
        stems += [(f"{component}/Contents-udeb-{name}", False) for name in names]
    return stems
