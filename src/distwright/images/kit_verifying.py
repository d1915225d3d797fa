"""Is this kit what the site says? Its digest against the signed description, before anything in it is run."""

from pathlib import Path

from distwright.errors import NotFound, Refused
from distwright.images.kit_descriptions import Description, Upgrade, read_description, upgrade_by
from distwright.signing.verify import Keyring
from distwright.store.objects import sha256_of_file


def verify_kit(kit: Path, description: Path, keyring: Keyring) -> tuple[Description, Upgrade]:
    """Find a kit in its description; the signature is the file beside that with `.asc` behind its name.

    Raises NotFound for a file that is not there; Refused if the signature is not by the keyring, or the kit is not named.
    """
    signature = description.with_name(f"{description.name}.asc")
    for file in (kit, description, signature):
        if not file.is_file():
            raise NotFound(f"{file} is no file", hint="fetch kit, upgrades.json and upgrades.json.asc into one folder")
    content = description.read_bytes()
    verified = keyring.verify_detached(content, signature.read_bytes(), str(description))
    found = read_description(verified.content)
    upgrade = upgrade_by(found, sha256_of_file(kit))
    if kit.stat().st_size != upgrade.size_bytes:
        raise Refused(f"{kit} is not as long as its description says", hint="fetch it again")
    return found, upgrade
