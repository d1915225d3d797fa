"""Verify an image that somebody else published: from its bundle and what archives serve, in a state of its own.

What is believed: nothing but hashes. The bundle names the states of archives by digest, and the sums of what must come out; who has
signed these is looked at if the person says whose signature counts.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from distwright.archive.fetching import fetch_object
from distwright.archive.gathering import gather
from distwright.archive.tree import parse_root
from distwright.checks.image_rebuild import order_of
from distwright.config.model import FORMAT
from distwright.config.problems import dotted
from distwright.config.words import toml_value
from distwright.errors import BadInput, BadUsage, Busy, NotFound, Refused, quoted
from distwright.formats.provenance import Material, rebuild_result
from distwright.images.bundle import Bundle
from distwright.images.bundle_order import no_bundle
from distwright.jobs.order import JobOrder
from distwright.jobs.step import Context
from distwright.model import plain
from distwright.model.digests import Sha256, digests_in
from distwright.model.outcomes import Outcome
from distwright.model.records import Job
from distwright.net.fetcher import Fetcher
from distwright.signing.gpg import GpgSigner
from distwright.signing.signer import SequoiaSigner, Signer
from distwright.signing.verify import Keyring
from distwright.site.elsewhere import Served
from distwright.store.locks import locked
from distwright.store.objects import ObjectStore

ROOT_CACHE = Path("/var/cache/distwright")
MARK = "image-verification"
_RELEASE_BYTES = 16 << 20
_FINGERPRINT = re.compile(r"[0-9A-Fa-f]{40}")


def verify_folder(environment: Mapping[str, str], uid: int, bundle: Sha256) -> Path:
    """Say where the state of a verification is unless somebody names a place: in the cache of the user; of the machine for root."""
    home = Path(environment.get("HOME", "."))
    base = ROOT_CACHE if uid == 0 else Path(environment.get("XDG_CACHE_HOME") or home / ".cache") / "distwright"
    return base / "verify" / bundle[:16]


@contextmanager
def claimed_folder(place: Path) -> Iterator[None]:
    """Make the folder of a verification, or find that it is one, and keep others out of it.

    Its lock is the mark by which such a folder is known; `remove_folder` removes it last. Raises Refused for a folder that is
    something else, Busy while another verification is in it.
    """
    mark = place / MARK
    try:
        place.mkdir(parents=True, exist_ok=True)
        if any(place.iterdir()) and not (mark.is_file() and not mark.is_symlink()):
            raise Refused(
                f"{place} is not empty, and no folder of a verification", hint="name a new folder: --state DIR"
            )
    except OSError as error:
        raise BadUsage(f"{place} cannot be used: {error.strerror}", hint="name another folder: --state DIR") from error
    with ExitStack() as held:
        try:
            held.enter_context(locked(mark, patience_s=0))
            is_gone = not mark.exists()  # who was in it has just ended, and removed what we have locked
        except OSError as error:
            raise BadUsage(
                f"{place} cannot be used: {error.strerror}", hint="name another folder: --state DIR"
            ) from error
        except Busy as error:
            raise _in_use(place) from error
        if is_gone:
            raise _in_use(place)
        mark.write_text("Made by distwright image verify, which may remove all of it.\n")
        yield


def remove_folder(place: Path, remove: Callable[[Path], None]) -> None:
    """Remove the folder of a verification by whoever has claimed it, the lock at the end. remove: removes a file or a folder."""
    for path in sorted(place.iterdir()):
        if path.name != MARK:
            remove(path)
    (place / MARK).unlink(missing_ok=True)
    with suppress(OSError):  # the next one has it already
        place.rmdir()


def _in_use(place: Path) -> Busy:
    return Busy(
        f"another verification of this bundle is at work in {place}",
        hint="try again when it has ended, or name a folder for this one: --state DIR",
    )


def config_of(bundle: Bundle) -> tuple[dict[str, str], dict[str, bytes]]:
    """Give the configuration by which the states of a bundle are recorded, and the keyrings that it names relative to itself.

    A keyring that this machine has counts before that of the bundle.
    """
    lines = [f"format = {FORMAT}", "[site]", f"name = {toml_value('Verification')}"]
    keyrings: dict[str, bytes] = {}
    for name, table in sorted(bundle.tables.items()):
        settings = dict(table)
        if not Path(plain.text(settings, "keyring")).is_file() and name in bundle.keyrings:
            settings["keyring"] = f"keyrings/{name}.pgp"
            keyrings[f"keyrings/{name}.pgp"] = bundle.keyrings[name]
        # What a snapshot was signed with may have ended since; its digest says that it is the one that was used.
        settings["accept_expired"] = True
        lines.append(f"[{dotted(('archive', name))}]")
        lines += [f"{key} = {toml_value(value)}" for key, value in sorted(settings.items())]
    return {"distwright.toml": "\n".join(lines) + "\n"}, keyrings


def check_objects(bundle: Bundle, objects: ObjectStore) -> None:
    """Look whether a bundle has all that its order names, and suites of ours that can be read. Raises BadInput.

    objects: where its own were kept.
    """
    served = {one.document for one in bundle.snapshots}
    suites = {entry.document: entry.name for entry in bundle.shelf if entry.is_own}
    named = {digest for _, digest in digests_in(bundle.order)} - served
    leaves = {leaf for document, name in suites.items() for leaf in _leaves(document, name, objects)}
    if missing := sorted(digest for digest in named | leaves if not objects.has(digest)):
        raise no_bundle(f"the bundle has no object {missing[0].short}, which its order names")


def _leaves(document: Sha256, name: str, objects: ObjectStore) -> list[Sha256]:
    try:
        lists = parse_root(objects.read(document)).lists if objects.has(document) else {}
        return [leaf.digest for leaves in lists.values() for leaf in leaves]
    except (BadInput, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise no_bundle(f"what the bundle has of suite {quoted(name)} is none: {quoted(str(error))}") from error


def check_answers(bundle: Bundle, base: str, fetcher: Fetcher) -> None:
    """Ask for the Release of each state before anything is made of it. Raises NotFound where it is not served, Unreachable."""
    for one in served_states(bundle, base):
        for suite in plain.texts(bundle.tables[one.archive], "suites")[:1]:
            fetcher.fetch_page(f"{one.url}/dists/{suite}/InRelease", limit_bytes=_RELEASE_BYTES)


def served_states(bundle: Bundle, base: str) -> list[Served]:
    """Say where each recorded state of a bundle is served, below an address."""
    return [
        Served(one.archive, one.serial, f"{base}/{one.archive}/{one.serial}", one.document) for one in bundle.snapshots
    ]


def base_of(bundle: Bundle, given: str | None) -> str:
    """Say where the archives are served: as given, or as the bundle says, on the web; raise BadUsage if nobody does."""
    base = (given or bundle.url).rstrip("/")
    if given is None and not base.startswith(("http://", "https://")):
        raise BadUsage("the bundle does not say where its archives are served", hint="add --from URL")
    return base


def check_signature(bundle: Bundle, keyring: Keyring) -> None:
    """Look whether one of these certificates signed the sums; raise Refused."""
    keyring.verify_detached(bundle.signed, bundle.signature, f"SHA256SUMS of {bundle.name}")


def take_ours(bundle: Bundle, base: str, context: Context) -> int:
    """Fetch the packages of own archives that were used, wherever their suites are now; give their number."""
    return sum(
        gather(files, [f"{base}/{name}"], context, f"take {name}") for name, files in sorted(bundle.pool.items())
    )


def take_first_build(bundle: Bundle, base: str, context: Context) -> None:
    """Fetch what was published, to see where it differs. Raises NotFound, Refused (other bytes than the sums say), Unreachable."""
    for name, digest in sorted(bundle.sums.items()):
        if not context.objects.has(digest):
            fetch_object(context, f"{base}/images/{bundle.name}/{name}", digest, None)


def verify_order(bundle: Bundle, *, is_here: bool) -> JobOrder:
    """Order the second build of what a bundle describes. is_here: the files of the first one were fetched."""
    return order_of(bundle.order, bundle.digest, bundle.sums, elsewhere=not is_here, made_by=bundle.made_by)


@dataclass(frozen=True, slots=True)
class Statement:
    """What somebody says of an image that he built again: in-toto, and the signature if there is one."""

    content: bytes
    signature: bytes | None


def statement_of(
    bundle: Bundle, content: Sha256, job: Job, signer: Signer | None, here: Mapping[str, str]
) -> Statement:
    """Say which files came out the same; raise NotFound for a job that could not compare them. content: the bundle's own digest.

    here: the programs that made the root this time, with their versions.
    """
    outputs = job.outputs or {}
    if job.outcome is not Outcome.OK or "same" not in outputs or job.finished_at is None:
        raise NotFound(f"job {job.id} has compared nothing: {job.message}", hint=f"distwright job log {job.id}")
    name = f"{bundle.name}.bundle"
    against = Material(f"{bundle.url}/images/{bundle.name}/{name}" if bundle.url else name, "sha256", content, name)
    made_by = {"here": here, "there": bundle.made_by}
    at = f"{job.finished_at:%Y-%m-%dT%H:%M:%SZ}"
    text = rebuild_result(bundle.sums, plain.texts(outputs, "same"), against, at, made_by)
    return Statement(text, None if signer is None else signer.sign_detached(text))


def person_signer(key: str, environment: Mapping[str, str]) -> Signer:
    """Give what signs with a person's key: a fingerprint that gpg knows, or a file with a secret key. Raises NotFound, Refused."""
    if not _FINGERPRINT.fullmatch(key):
        return SequoiaSigner(Path(key))
    home = environment.get("GNUPGHOME") or Path(environment.get("HOME", "."), ".gnupg")
    return GpgSigner(key, Path(home))
