"""Several keys sign together: while one key follows another, clients that have either accept what is published."""

from collections.abc import Sequence

from distwright.errors import Refused
from distwright.signing.answers import checked_clear, checked_detached
from distwright.signing.armor import BEGIN_SIGNATURE, joined_certificates, joined_signatures
from distwright.signing.signer import Signer

_HASH = b"Hash: "


class JointSigner:
    """Signs with each of several signers; what it makes is one message with all their signatures."""

    def __init__(self, signers: Sequence[Signer]) -> None:
        """Use two signers or more; the first is the one that most clients have."""
        self._signers = tuple(signers)

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """The fingerprints of all."""
        return tuple(fingerprint for signer in self._signers for fingerprint in signer.fingerprints)

    def certificate(self) -> bytes:
        """Give all certificates in one block."""
        return joined_certificates([signer.certificate() for signer in self._signers])

    def sign_clear(self, text: bytes) -> bytes:
        """Sign text with the cleartext framework."""
        made = [signer.sign_clear(text) for signer in self._signers]
        cuts = [message.rindex(BEGIN_SIGNATURE) for message in made]
        hashes = dict.fromkeys(_hash_of(message) for message in made)
        head = made[0][: cuts[0]].replace(_HASH + _hash_of(made[0]), _HASH + b",".join(hashes), 1)
        signatures = joined_signatures([message[cut:] for message, cut in zip(made, cuts, strict=True)])
        signed = head + signatures
        for signer in self._signers:
            checked_clear(signed, text, signer.certificate(), _name(signer))
        return signed

    def sign_detached(self, content: bytes) -> bytes:
        """Sign bytes, armoured."""
        signature = joined_signatures([signer.sign_detached(content) for signer in self._signers])
        for signer in self._signers:
            checked_detached(signature, content, signer.certificate(), _name(signer))
        return signature


def joint_signer(signers: Sequence[Signer]) -> Signer:
    """Give one signer for all; raise Refused if the same key is among them twice."""
    if len(signers) == 1:
        return signers[0]
    joint = JointSigner(signers)
    if len(set(joint.fingerprints)) < len(joint.fingerprints):
        raise Refused("key and next_key are the same key", hint="make a new one: distwright archive key NAME --make")
    return joint


def _hash_of(message: bytes) -> bytes:
    return message.split(b"\n", 2)[1].removeprefix(_HASH).strip()


def _name(signer: Signer) -> str:
    return f"key {signer.fingerprints[0]}"
