"""Who may upload what: grants, and the decision about one upload. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Self

from distwright.archive.upload import ALL, Upload
from distwright.model import plain
from distwright.model.digests import Json, Sha256

EVERYTHING = ("*",)


@dataclass(frozen=True, slots=True)
class Grant:
    """What signatures of some certificates may bring. name: of its table; keyring: an object; keys: of its certificates, () is all.

    architectures: () is all of the archive. max_age_days: 0 does not ask (our own builder, whose orders come from our own events).
    """

    name: str
    keyring: Sha256
    keys: tuple[str, ...] = ()
    suites: tuple[str, ...] = EVERYTHING
    sources: tuple[str, ...] = EVERYTHING
    new: bool = True
    binaries: bool = True
    architectures: tuple[str, ...] = ()
    take_over: bool = False
    max_age_days: int = 0

    def to_json(self) -> Json:
        """Give it as an order's input."""
        return {
            "name": self.name,
            "keyring": str(self.keyring),
            "keys": list(self.keys),
            "suites": list(self.suites),
            "sources": list(self.sources),
            "new": self.new,
            "binaries": self.binaries,
            "architectures": list(self.architectures),
            "take_over": self.take_over,
            "max_age_days": self.max_age_days,
        }

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Read what `to_json` gave; raise BadInput."""
        values = plain.mapping({"grant": value}, "grant")
        return cls(
            plain.text(values, "name"),
            plain.digest(values, "keyring"),
            plain.texts(values, "keys"),
            plain.texts(values, "suites"),
            plain.texts(values, "sources"),
            plain.flag(values, "new"),
            plain.flag(values, "binaries"),
            plain.texts(values, "architectures"),
            plain.flag(values, "take_over"),
            plain.number(values, "max_age_days"),
        )

    def counts(self, fingerprint: str) -> bool:
        """Say whether it is about this certificate of its keyring."""
        return not self.keys or fingerprint.lower() in {key.lower() for key in self.keys}


def refusals(upload: Upload, grants: Mapping[str, Sequence[Grant]]) -> list[str]:
    """Say why nobody's grant covers an upload; [] if one covers all of it. grants: by fingerprint of the signer.

    Of several that do not, the one that comes nearest speaks.
    """
    answers = [
        [f"{check}: {problem}" for check, problem in _refusals(upload, grant, signer)]
        for signer in upload.signers
        for grant in grants.get(signer, ())
    ]
    return min(answers, key=len, default=[f"may-upload: key {' '.join(upload.signers)} has no grant"])


def _refusals(upload: Upload, grant: Grant, signer: str) -> Iterator[tuple[str, str]]:
    source = upload.changes.source
    if not _matches(upload.suite, grant.suites):
        yield "may-upload", f"key {signer} may not upload to {upload.suite}"
    if not _matches(source, grant.sources):
        yield "may-upload", f"key {signer} may not upload source {source}"
    if not grant.new and not upload.is_known:
        yield "may-upload", f"{source} is new here, and key {signer} may not bring new sources"
    if not grant.binaries and upload.debs:
        yield "source-only", f"key {signer} may upload sources only, and {len(upload.debs)} binary packages came along"
    if grant.architectures:
        allowed = {ALL, *grant.architectures}
        for architecture in sorted({deb.architecture for deb in upload.debs} - allowed):
            yield "may-upload", f"key {signer} may not upload for {architecture}"
    if not grant.take_over:
        for owner, text in sorted({(owner, _name(stanza)) for _, owner, stanza in upload.taken_over()}):
            yield "binary-belongs-to-source", f"{text} belongs to source {owner} in {upload.suite}, not to {source}"
    if grant.max_age_days:
        yield from _age(upload, grant.max_age_days)


def _age(upload: Upload, days: int) -> Iterator[tuple[str, str]]:
    oldest = upload.now - timedelta(days=days)
    for what, at in (("Date of .changes is", upload.changes.date), ("signature was made on", upload.signed_at)):
        if at < oldest:
            yield "is-recent", f"the {what} {at:%Y-%m-%d}, and more than {days} days ago"


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _name(stanza: bytes) -> str:
    return stanza.partition(b"\n")[0].decode().partition(": ")[2]
