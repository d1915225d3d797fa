"""Is it signed, and by whom? Verification against a given set of certificates; there is no other trust."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import pysequoia

from distwright.errors import BadInput, Refused, quoted
from distwright.formats.clearsign import strip_clearsign

_WHITE = b" \t\r"
_WEAK = frozenset({"MD5", "SHA1", "RIPEMD", "RIPEMD160", "SHA224"})  # apt 3 refuses them as well


@dataclass(frozen=True, slots=True)
class Verified:
    """content: exactly the bytes that the signature covers. signers: certificate fingerprints of the valid signatures."""

    content: bytes
    signers: tuple[str, ...]


class Keyring:
    """The certificates that are trusted for one purpose."""

    def __init__(self, content: bytes, name: str) -> None:
        """Read armoured or binary certificates; `name` is for messages. Raises BadInput if there is none."""
        try:
            self._certificates = list(pysequoia.Cert.split_bytes(content))
        except Exception as error:  # pysequoia raises plain Exception subclasses
            raise BadInput(f"keyring {name} cannot be read: {_reason(error)}", hint=f"sq inspect {name}") from error
        if not self._certificates:
            raise BadInput(f"keyring {name} holds no certificate", hint="name a file of OpenPGP certificates")
        self.name = name
        self._content = content

    @classmethod
    def joined(cls, contents: Iterable[bytes], name: str, fingerprints: Collection[str]) -> Self:
        """Make one keyring of several; of each, only the certificates with these fingerprints."""
        found: dict[str, pysequoia.Cert] = {}
        for content in contents:
            for certificate in pysequoia.Cert.split_bytes(content):
                fingerprint = str(certificate.fingerprint)
                known = found.get(fingerprint)
                found[fingerprint] = certificate if known is None else known.merge(certificate)
        chosen = [str(found[fingerprint]).encode() for fingerprint in sorted(found) if fingerprint in fingerprints]
        return cls(b"".join(chosen), name)

    @property
    def content(self) -> bytes:
        """The certificates, as they were given."""
        return self._content

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """The fingerprints of all certificates, lower case."""
        return tuple(str(certificate.fingerprint) for certificate in self._certificates)

    @property
    def has_secrets(self) -> bool:
        """Say whether a secret key stands among the certificates."""
        if (
            b"PRIVATE KEY BLOCK-----" in self._content
        ):  # one of several armoured blocks, of which a pile takes the first
            return True
        secret = (pysequoia.packet.Tag.SecretKey, pysequoia.packet.Tag.SecretSubkey)
        return any(packet.tag in secret for packet in pysequoia.packet.PacketPile.from_bytes(self._content))

    def verify_clear(self, message: bytes, what: str) -> Verified:
        """Verify one cleartext-signed message that fills `message` from its first to its last line.

        One valid signature of a certificate in the keyring is enough. Not checked: which of them, and how old the signature is.
        Raises Refused, naming `what`, for anything else: no signature, unknown key, edited text, text outside the armour.
        """
        try:
            text = strip_clearsign(message)
        except BadInput as error:
            raise Refused(
                f"{what} is not one signed message: {error.message}",
                hint="compare the address: it must be that of the signed file",
            ) from error
        verified = self._verified(what, message, None)
        # Sequoia is lenient with what stands around the text; should the two readers ever see two texts, neither is believed.
        if b"".join(line.rstrip(_WHITE) + b"\n" for line in verified.content.split(b"\n")) != text:
            raise Refused(
                f"{what} can be read in two ways", hint="fetch it again; if it stays, somebody tampered with it"
            )
        return verified

    def verify_detached(self, content: bytes, signature: bytes, what: str) -> Verified:
        """Verify a detached signature over `content`, or several in one block; raise Refused, naming `what`, if none is valid."""
        try:
            parsed = [pysequoia.Sig.from_bytes(one) for one in _each_signature(signature)]
        except Exception as error:  # pysequoia raises plain Exception subclasses
            raise Refused(f"{what} has no readable signature: {_reason(error)}", hint="fetch it again") from error
        signers: list[str] = []
        refused: Refused | None = None
        for one in parsed:
            try:
                signers += self._verified(what, content, one).signers
            except Refused as error:  # by a key that we do not have, while another is about to follow
                refused = refused or error
        if not signers:
            raise refused or Refused(f"{what} has no readable signature", hint="fetch it again")
        return Verified(content, tuple(signers))

    def _verified(self, what: str, content: bytes, signature: "pysequoia.Sig | None") -> Verified:
        def store(_ids: Sequence[str]) -> list[pysequoia.Cert]:
            return self._certificates

        try:
            if signature is None:
                result = pysequoia.verify(bytes=content, store=store)
            else:
                result = pysequoia.verify(bytes=content, store=store, signature=signature)
        except Exception as error:  # pysequoia raises plain Exception subclasses
            raise Refused(
                f"{what} has no valid signature by a key of {self.name}: {_reason(error)}",
                hint="compare the archive's key with the keyring that the configuration names",
            ) from error
        covered = content if signature is not None else bytes(result.bytes or b"")
        return Verified(covered, tuple(str(sig.certificate) for sig in result.valid_sigs))


def signed_at(message: bytes, what: str) -> datetime:
    """Say when a cleartext-signed message was signed: of several signatures the oldest counts, valid or not.

    Call it for what is verified: a time may be written into a signature by whoever makes it, but not into somebody else's.
    Raises Refused, naming `what`.
    """
    try:
        times = [packet.signature_created for packet in _signatures(message)]
        return min(time for time in times if time is not None)
    except Exception as error:  # pysequoia raises plain Exception subclasses
        raise Refused(f"{what} does not say when it was signed: {_reason(error)}", hint="sign it again") from error


def weak_digests(message: bytes) -> list[str]:
    """List the digests of the signatures of a cleartext-signed message that prove nothing any more."""
    try:
        used = {str(packet.hash_algorithm).rpartition(".")[2] for packet in _signatures(message)}
    except Exception:  # pysequoia raises plain Exception subclasses; whoever verifies it will say what is wrong
        return []
    return sorted(name for name in used if name.upper().replace("-", "") in _WEAK)


def _signatures(message: bytes) -> list["pysequoia.packet.Packet"]:
    _, mark, signature = message.rpartition(b"-----BEGIN PGP SIGNATURE-----")
    return list(pysequoia.packet.PacketPile.from_bytes(mark + signature))


def _each_signature(signature: bytes) -> list[bytes]:
    """Give each packet on its own (RFC 9580, section 4.2.1): of several, Sequoia reads the first only."""
    packets = pysequoia.packet.PacketPile.from_bytes(signature)
    bodies = [bytes(packet.body) for packet in packets if packet.tag == pysequoia.packet.Tag.Signature]
    return [b"\xc2\xff" + len(body).to_bytes(4, "big") + body for body in bodies]


def _reason(error: Exception) -> str:
    return quoted(str(error).partition("\n")[0])
