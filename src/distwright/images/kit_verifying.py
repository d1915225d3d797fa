"""Is this kit what the site says? Its digest against the signed description, before anything in it is run."""

from pathlib import Path

from distwright.errors import NotFound, Refused
from distwright.formats.streaming import PIECE_BYTES
from distwright.images.kit_descriptions import Description, Upgrade, read_description, upgrade_by
from distwright.images.room import Wanted, want_room
from distwright.signing.verify import Keyring
from distwright.store.objects import sha256_of_file


def verified_copy(kit: Path, description: Path, keyring: Keyring, folder: Path) -> tuple[Path, Description, Upgrade]:
    """Copy a kit into a folder that is nobody else's, and find the copy in its description.

    So what is run is what was verified, whoever may write where the kit lies. The signature is the file beside the description
    with `.asc` behind its name. Raises NotFound for a file that is not there; Refused if the signature is not by the keyring,
    or the kit is not named; OutOfSpace if the folder has no room for the copy.
    """
    signature = description.with_name(f"{description.name}.asc")
    for file in (kit, description, signature):
        if not file.is_file():
            raise NotFound(f"{file} is no file", hint="fetch kit, upgrades.json and upgrades.json.asc into one folder")
    content = description.read_bytes()
    verified = keyring.verify_detached(content, signature.read_bytes(), str(description))
    found = read_description(verified.content)
    longest = max((upgrade.size_bytes for upgrade in found.upgrades), default=0)
    want_room([Wanted(folder, min(longest, kit.stat().st_size), "the kit")])
    copy, left = folder / "kit.tar", longest + 1
    with kit.open("rb") as source, copy.open("xb") as target:
        while left and (piece := source.read(min(left, PIECE_BYTES))):
            left -= target.write(piece)
    if left == 0:
        raise Refused(f"{kit} is longer than any kit of its description", hint="fetch it again")
    upgrade = upgrade_by(found, sha256_of_file(copy))
    if copy.stat().st_size != upgrade.size_bytes:
        raise Refused(f"{kit} is not as long as its description says", hint="fetch it again")
    return copy, found, upgrade
