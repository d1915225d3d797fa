"""What clients are handed: the text of a .sources file, with the key in it or beside it; and the keyring as a package."""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass

from distwright.formats.dates import changelog_date
from distwright.formats.debwriter import write_deb
from distwright.signing.armor import packets_of
from distwright.signing.policy import last_change

_COPYRIGHT = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Comment: The keys in this package are numbers and signatures; nobody claims copyright in them.

Files: *
Copyright: none
License: public-domain
 Use them for whatever you like.
"""


@dataclass(frozen=True, slots=True)
class KeyringPackage:
    """A package of the certificates of an archive. certificate: armoured, of all keys. is_rotating: the next key is among them."""

    archive: str
    label: str
    package: str
    maintainer: str
    certificate: bytes
    is_rotating: bool
    homepage: str = ""

    @property
    def version(self) -> str:
        """When the keys last changed; while the old and the next key are in it, a little less than with the next one alone."""
        return f"{last_change(self.certificate):%Y%m%d.%H%M%S}{'~next' if self.is_rotating else ''}"


def keyring_path(archive: str) -> str:
    """Say where the package puts the keyring of an archive."""
    return f"/usr/share/keyrings/{archive}-archive-keyring.pgp"


def keyring_deb(package: KeyringPackage) -> tuple[str, bytes]:
    """Make the package; give its file name and its bytes, which are the same for the same keys.

    It installs the keyring only. Which suite a machine follows is for the machine to say: `archive sources --package`.
    """
    changed = last_change(package.certificate)
    control = {
        "Package": package.package,
        "Version": package.version,
        "Architecture": "all",
        "Maintainer": package.maintainer,
        "Section": "misc",
        "Priority": "optional",
        "Multi-Arch": "foreign",
        **({"Homepage": package.homepage} if package.homepage else {}),
        "Description": f"OpenPGP keys of the {package.label} archive\n"
        f" The Release files of the {package.label} archive are signed with these keys.\n"
        " .\n"
        f" Name {keyring_path(package.archive)} as Signed-By in a .sources file of apt.",
    }
    changelog = (
        f"{package.package} ({package.version}) unstable; urgency=medium\n\n  * The keys as they are now.\n\n"
        f" -- {package.maintainer}  {changelog_date(changed)}\n"
    )
    path, doc = keyring_path(package.archive).lstrip("/"), f"usr/share/doc/{package.package}"
    files = {
        path: packets_of(package.certificate),
        path.removesuffix(".pgp") + ".asc": package.certificate,
        f"{doc}/changelog.gz": gzip.compress(changelog.encode(), mtime=0),
        f"{doc}/copyright": _COPYRIGHT.encode(),
    }
    return f"{package.package}_{package.version}_all.deb", write_deb(control, files, int(changed.timestamp()))


def sources_text(
    url: str, suite: str, components: Sequence[str], signed_by: bytes | str, *, kinds: str = "deb deb-src"
) -> str:
    """Write a deb822 source (sources.list(5)). signed_by: an ASCII-armoured certificate, put inline; the path of a keyring;
    or "": then apt takes what the machine trusts for every archive.
    """
    if isinstance(signed_by, str):
        trust = f" {signed_by}\n"
    else:
        trust = "\n" + "".join(f" {line or '.'}\n" for line in signed_by.decode().strip("\n").split("\n"))
    stanza = f"Types: {kinds}\nURIs: {url}\nSuites: {suite}\nComponents: {' '.join(components)}\n"
    return f"{stanza}Signed-By:{trust}" if signed_by else stanza
