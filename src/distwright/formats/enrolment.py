"""How a builder and the server get to know each other: by one line that a person carries over, once.

The line has a secret and the server's public key: so the builder knows whom to let in. The server knows the builder by its ssh host
key, which the builder vouches for with the secret: nobody between them can, and no key is taken on trust.
"""

import hmac
import re
from dataclasses import dataclass

from distwright.errors import BadInput
from distwright.model.digests import Sha256, sha256_of

_LINE = re.compile(r"distwright-builder-1:([A-Za-z0-9_-]{43}):(ssh-ed25519):([A-Za-z0-9+/]{60,100}={0,2})")
_HOST_KEY = re.compile(r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)) [A-Za-z0-9+/]{40,2000}={0,2}")


@dataclass(frozen=True, slots=True)
class EnrolmentLine:
    """What a person carries over. secret: 256 random bits; server_key: `type base64`, which the builder lets in."""

    secret: str
    server_key: str

    @property
    def text(self) -> str:
        """The line."""
        return f"distwright-builder-1:{self.secret}:{self.server_key.replace(' ', ':')}"

    @property
    def sum(self) -> Sha256:
        """What is kept of the secret on both sides."""
        return sha256_of(self.secret.encode())


def parse_enrolment(text: str) -> EnrolmentLine:
    """Read the line; raise BadInput, which does not show it."""
    found = _LINE.fullmatch(text.strip())
    if found is None:
        raise BadInput(
            "this is not the line that distwright host enrol printed", hint="give the whole line, as it was printed"
        )
    return EnrolmentLine(found[1], f"{found[2]} {found[3]}")


def host_key(text: str) -> str:
    """Give `type base64` of a public host key, as a .pub file or a line of known_hosts without the name has it; raise BadInput."""
    key = " ".join(text.split()[:2])
    if not _HOST_KEY.fullmatch(key):
        raise BadInput("this is not the public key of an ssh host", hint="name a .pub file: --host-key FILE")
    return key


def voucher(secret_sum: Sha256, nonce: str, key: str) -> str:
    """Vouch for a host key, as one who knows the secret; nonce: chosen by who asks, for this answer alone."""
    said = f"distwright-builder-1\n{nonce}\n{key}".encode()
    return hmac.digest(secret_sum.encode(), said, "sha256").hex()


def is_voucher(given: str, secret_sum: Sha256, nonce: str, key: str) -> bool:
    """Say whether this vouches for the key; in constant time."""
    return hmac.compare_digest(given.encode(errors="replace"), voucher(secret_sum, nonce, key).encode())
