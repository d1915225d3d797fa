"""What a signer outside of this process answered is believed only after it was verified."""

import pysequoia

from distwright.errors import Refused
from distwright.signing.armor import BEGIN_SIGNATURE
from distwright.signing.verify import Keyring

_HASHES = pysequoia.packet.HashAlgorithm
STRONG_HASHES = (_HASHES.SHA256, _HASHES.SHA384, _HASHES.SHA512, _HASHES.SHA3_256, _HASHES.SHA3_512)
_WHITE = b" \t\r"


def checked_clear(signed: bytes, text: bytes, certificate: bytes, who: str) -> bytes:
    """Give a clear-signed message back if it is `text`, signed by the certificate with a strong hash; raise Refused.

    White space at the ends of lines and empty lines at the end do not count: signers differ in them, and readers do not care.
    """
    verified = Keyring(certificate, f"the certificate of {who}").verify_clear(signed, f"what {who} signed")
    if _bare(verified.content) != _bare(text):
        raise Refused(f"{who} signed something else than it was given", hint="look at what signs there")
    _refuse_weak(signed[signed.rindex(BEGIN_SIGNATURE) :], who)
    return signed


def checked_detached(signature: bytes, content: bytes, certificate: bytes, who: str) -> bytes:
    """Give a detached signature back if it is one of `content` by the certificate with a strong hash; raise Refused."""
    Keyring(certificate, f"the certificate of {who}").verify_detached(content, signature, f"what {who} signed")
    if not signature.startswith(BEGIN_SIGNATURE):
        raise Refused(f"the signature of {who} is not armoured text", hint="sign with --armor")
    _refuse_weak(signature, who)
    return signature


def _refuse_weak(signature: bytes, who: str) -> None:
    for packet in pysequoia.packet.PacketPile.from_bytes(signature):
        if packet.tag == pysequoia.packet.Tag.Signature and packet.hash_algorithm not in STRONG_HASHES:
            name = str(packet.hash_algorithm).rpartition(".")[2]
            raise Refused(f"{who} signed with {name}, which apt refuses", hint="sign with SHA512")


def _bare(text: bytes) -> bytes:
    return b"\n".join(line.rstrip(_WHITE) for line in text.split(b"\n")).rstrip(b"\n")
