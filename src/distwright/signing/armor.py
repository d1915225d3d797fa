"""ASCII armour (RFC 9580, section 6): what several keys have made, put into one block, as apt's readers want it."""

import base64
import binascii
from collections.abc import Sequence

import pysequoia

from distwright.errors import BadInput

BEGIN_SIGNATURE = b"-----BEGIN PGP SIGNATURE-----"


def packets_of(armoured: bytes) -> bytes:
    """Give what is inside of the first armoured block; raise BadInput if there is none."""
    lines = armoured.replace(b"\r\n", b"\n").split(b"\n")
    begin = next((at for at, line in enumerate(lines) if line.startswith(b"-----BEGIN PGP ")), None)
    if begin is None or b"" not in lines[begin:]:
        raise BadInput("this is not ASCII armour", hint="give it with --armor")
    body = []
    for line in lines[lines.index(b"", begin) + 1 :]:
        if line.startswith((b"=", b"-----END")):
            break
        body.append(line.strip())
    try:
        return base64.b64decode(b"".join(body), validate=True)
    except binascii.Error as error:
        raise BadInput("the ASCII armour is damaged", hint="give it again with --armor") from error


def armoured(certificates: bytes) -> bytes:
    """Give a keyring as one armoured block, whichever form it has."""
    return joined_certificates([certificates]) if certificates.startswith(b"-----") else _armour(certificates)


def joined_certificates(certificates: Sequence[bytes]) -> bytes:
    """Put armoured certificates into one block: of several blocks in a file, apt 2 reads the first only."""
    if len(certificates) == 1:
        return certificates[0]
    packets = b"".join(packets_of(certificate) for certificate in certificates)
    return _armour(packets)


def joined_signatures(signatures: Sequence[bytes]) -> bytes:
    """Put armoured signatures over the same bytes into one block."""
    packets = b"".join(packets_of(signature) for signature in signatures)
    return pysequoia.armor(packets, pysequoia.ArmorKind.Signature).encode()


def _armour(packets: bytes) -> bytes:
    return pysequoia.armor(packets, pysequoia.ArmorKind.PublicKey).encode()
