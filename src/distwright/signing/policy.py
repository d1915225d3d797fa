"""Is a key good enough to sign an archive? What the apt of Debian 12 (gpgv) and that of Debian 13 (sqv) take, and until when.

Sources: apt's default-sequoia.config (rsa2048 until 2030-02-01, brainpool until 2028-02-01, dsa and SHA-1 over); apt-secure(8);
GnuPG 2.2, the gpgv of Debian 12, knows neither keys of version 6 nor the algorithm numbers that came with them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pysequoia

from distwright.errors import Refused, listed
from distwright.model.findings import Finding
from distwright.signing.answers import STRONG_HASHES

WARN_DAYS = 31
REFUSED, SOON = "key-refused", "key-ends-soon"

_OVER = datetime.min.replace(tzinfo=UTC)
_CURVES = {  # object identifiers as keys have them (RFC 9580, section 9.2); None: for good
    bytes.fromhex("2a8648ce3d030107"): ("nistp256", None),
    bytes.fromhex("2b81040022"): ("nistp384", None),
    bytes.fromhex("2b81040023"): ("nistp521", None),
    bytes.fromhex("2b06010401da470f01"): ("ed25519", None),
    bytes.fromhex("2b2403030208010107"): ("brainpoolP256r1", datetime(2028, 2, 1, tzinfo=UTC)),
    bytes.fromhex("2b240303020801010b"): ("brainpoolP384r1", datetime(2028, 2, 1, tzinfo=UTC)),
    bytes.fromhex("2b240303020801010d"): ("brainpoolP512r1", datetime(2028, 2, 1, tzinfo=UTC)),
}
_RSA2048_END = datetime(2030, 2, 1, tzinfo=UTC)
_RSA_LEAST, _RSA_GOOD = 2048, 3072
_BODY_START = 6  # version, time of creation, algorithm

_Tag, _Type, _Algorithm = pysequoia.packet.Tag, pysequoia.packet.SignatureType, pysequoia.packet.PublicKeyAlgorithm
_CERTIFICATIONS = (
    _Type.GenericCertification,
    _Type.PersonaCertification,
    _Type.CasualCertification,
    _Type.PositiveCertification,
    _Type.DirectKey,
)


@dataclass(slots=True)
class _Part:
    """A primary key or a subkey, with the owner's own signatures that make it one."""

    key: pysequoia.packet.Packet
    bindings: list[pysequoia.packet.Packet] = field(default_factory=list)
    is_revoked: bool = False


def examine_certificates(content: bytes, now: datetime) -> list[Finding]:
    """Say what is wrong with certificates that sign archives: refused now, or refused by apt or expired soon.

    content: armoured or binary, any number of certificates. Kind REFUSED or SOON; the subject is the fingerprint.
    """
    found = []
    for primary, subkeys in _certificates(content):
        name = str(primary.key.fingerprint)
        signing = [part for part in subkeys if _may_sign(part)]
        used = [part for part in signing if not part.is_revoked] or [primary]
        problems = [("revoked", "is revoked")] if primary.is_revoked else []
        problems += [problem for part in (primary, *used) for problem in _weak(part)]
        found += [Finding(REFUSED, key, name, what) for key, what in dict.fromkeys(problems)]
        found += _ends(name, primary, used, now)
    return found


def refuse_weak_key(content: bytes, now: datetime, what: str) -> list[Finding]:
    """Raise Refused, naming `what`, if apt would not take what these certificates sign; give what will be so soon."""
    found = examine_certificates(content, now)
    refused = [f"key {finding.subject} {finding.evidence}" for finding in found if finding.kind == REFUSED]
    if refused:
        raise Refused(
            f"{what} must not sign an archive:\n{listed(refused)}",
            hint="make a new key, and name it as next_key beside this one",
        )
    return found


def _certificates(content: bytes) -> Iterator[tuple[_Part, list[_Part]]]:
    for certificate in pysequoia.Cert.split_bytes(content):
        primary: _Part | None = None
        subkeys: list[_Part] = []
        for packet in pysequoia.packet.PacketPile.from_bytes(str(certificate).encode()):
            if packet.tag in (_Tag.PublicKey, _Tag.SecretKey):
                primary = _Part(packet)
            elif packet.tag in (_Tag.PublicSubkey, _Tag.SecretSubkey):
                subkeys.append(_Part(packet))
            elif packet.tag == _Tag.Signature and primary is not None:
                _take_in(packet, primary, subkeys[-1] if subkeys else None)
        if primary is not None:
            yield primary, subkeys


def _take_in(signature: pysequoia.packet.Packet, primary: _Part, subkey: _Part | None) -> None:
    kind, issuer = signature.signature_type, signature.issuer_fingerprint
    if issuer is not None and str(issuer) != str(primary.key.fingerprint):
        return  # somebody else vouches for it
    if kind == _Type.KeyRevocation:
        primary.is_revoked = True
    elif kind in _CERTIFICATIONS:
        primary.bindings.append(signature)
    elif subkey is not None and kind == _Type.SubkeyRevocation:
        subkey.is_revoked = True
    elif subkey is not None and kind == _Type.SubkeyBinding:
        subkey.bindings.append(signature)


def _may_sign(part: _Part) -> bool:
    flags = part.bindings and _newest(part.bindings).key_flags
    return bool(flags and flags.signing)


def _newest(bindings: Sequence[pysequoia.packet.Packet]) -> pysequoia.packet.Packet:
    return max(bindings, key=lambda one: one.signature_created or _OVER)


def _weak(part: _Part) -> Iterator[tuple[str, str]]:
    name, end = _algorithm(part.key)
    if end == _OVER:
        yield f"algorithm {name}", f"is {name}, which apt refuses"
    if not any(binding.hash_algorithm in STRONG_HASHES for binding in part.bindings):
        hashes = {str(binding.hash_algorithm).rpartition(".")[2] for binding in part.bindings} or {"nothing"}
        what = "subkey" if part.key.tag in (_Tag.PublicSubkey, _Tag.SecretSubkey) else "key"
        yield f"{what} bound", f"has its {what} bound by {', '.join(sorted(hashes))} only, which apt refuses"


def _algorithm(key: pysequoia.packet.Packet) -> tuple[str, datetime | None]:
    """Name an algorithm with its size, and say until when apt takes it: None is for good, the year 1 is never."""
    body, algorithm = bytes(key.body), key.key_algorithm
    if body[0] != 4:
        return f"a key of version {body[0]}", _OVER
    if algorithm in (_Algorithm.RSAEncryptSign, _Algorithm.RSASign):
        bits = int.from_bytes(body[_BODY_START : _BODY_START + 2], "big")
        end = _OVER if bits < _RSA_LEAST else None if bits >= _RSA_GOOD else _RSA2048_END
        return f"rsa{bits}", end
    if algorithm in (_Algorithm.ECDSA, _Algorithm.EdDSA):
        length = body[_BODY_START]
        return _CURVES.get(body[_BODY_START + 1 : _BODY_START + 1 + length], ("a curve that few know", _OVER))
    return str(algorithm).rpartition(".")[2].lower(), _OVER


def _ends(name: str, primary: _Part, used: Sequence[_Part], now: datetime) -> Iterator[Finding]:
    """Say when a certificate ends: with its primary key, or with the last of its keys that sign."""
    ends = [_expiry(part) for part in used]
    last = None if None in ends else max(end for end in ends if end is not None)
    certain = [end for end in (_expiry(primary), last) if end is not None]
    end = min(certain, default=None)
    if end is not None and end <= now:
        yield Finding(REFUSED, "expired", name, f"expired on {end:%Y-%m-%d}")
    elif end is not None and end - now <= timedelta(days=WARN_DAYS):
        yield Finding(SOON, "expires", name, f"expires on {end:%Y-%m-%d}")
    for part in (primary, *used):
        kind, until = _algorithm(part.key)
        if until is not None and until != _OVER:
            state, word = (REFUSED, "since") if until <= now else (SOON, "from")
            yield Finding(state, f"algorithm {kind}", name, f"is {kind}, which apt refuses {word} {until:%Y-%m-%d} on")
            break


def _expiry(part: _Part) -> datetime | None:
    if not part.bindings:
        return None
    newest = max((one.signature_created or _OVER for one in part.bindings), default=_OVER)
    periods = [one.key_validity_period for one in part.bindings if (one.signature_created or _OVER) == newest]
    created = part.key.key_created
    lasting = [period for period in periods if period]
    return created + max(lasting) if created is not None and len(lasting) == len(periods) else None


def last_change(content: bytes) -> datetime:
    """Say when the newest key or signature in certificates was made."""
    packets = [
        packet
        for primary, subkeys in _certificates(content)
        for part in (primary, *subkeys)
        for packet in (part.key, *part.bindings)
    ]
    return max(moment for packet in packets for moment in (packet.key_created, packet.signature_created) if moment)
