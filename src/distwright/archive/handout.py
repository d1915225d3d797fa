"""What clients are handed: the text of a .sources file with the key in it."""

from collections.abc import Sequence


def sources_text(
    url: str, suite: str, components: Sequence[str], certificate: bytes, *, kinds: str = "deb deb-src"
) -> str:
    """Write a deb822 source with inline Signed-By (sources.list(5)); certificate: ASCII-armoured."""
    armour = certificate.decode().strip("\n").split("\n")
    lines = "".join(f" {line or '.'}\n" for line in armour)
    return f"Types: {kinds}\nURIs: {url}\nSuites: {suite}\nComponents: {' '.join(components)}\nSigned-By:\n{lines}"
