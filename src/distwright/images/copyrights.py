"""The copyright files of what is installed in an image: collected by the image's own programs, read as somebody else's bytes."""

import re
from collections.abc import Mapping
from typing import BinaryIO

from distwright.errors import BadInput, quoted
from distwright.formats.licences import licence_names
from distwright.formats.streaming import PIECE_BYTES
from distwright.formats.tar import TarKind
from distwright.formats.tarheaders import TarEntry, iter_entries

FILE_LIMIT_KIB = (
    4096  # of one file: the largest of Debian have about 2 MB; what is longer counts as not machine-readable
)
TOTAL_LIMIT_BYTES = 256 << 20
PACKAGES_LIMIT = 100_000
_PATH = re.compile(r"usr/share/doc/([a-z0-9][a-z0-9+.-]*)/copyright")
_HINT = "look at usr/share/doc of the image, which a hook or an include has changed"

# Many are links, often to the file of another package of the same source. They are followed in the image's root, which has nothing
# else. A file that is none, or too long, is left out.
COLLECT = f"""#!/bin/sh
set -eu
work=$PWD
cd /
dpkg-query --show --showformat='${{Package}} ${{db:Status-Status}}\\n' | while read -r name status; do
    case $status in not-installed|config-files) continue;; esac
    [ ! -f "usr/share/doc/$name/copyright" ] || printf '%s\\0' "usr/share/doc/$name/copyright"
done | LC_ALL=C sort --zero-terminated --unique | xargs --null --no-run-if-empty \\
    sh -c 'exec find -L "$@" -maxdepth 0 -type f -size -{FILE_LIMIT_KIB + 1}k -print0' sh >"$work/list"
exec tar --create --file "$work/copyrights.tar" --null --verbatim-files-from --no-recursion --files-from "$work/list" \\
    --dereference --hard-dereference --format=gnu --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=0644
"""


def read_copyrights(tar: BinaryIO) -> Mapping[str, tuple[str, ...] | None]:
    """Give package -> short names of its licences, None where its file is not machine-readable.

    tar: as COLLECT made it, or as a hostile image did. Memory: one file. Raises BadInput for other members, one that comes twice,
    and for more than the limits of this module.
    """
    found: dict[str, tuple[str, ...] | None] = {}
    left = TOTAL_LIMIT_BYTES
    for entry in iter_entries(iter(lambda: tar.read(PIECE_BYTES), b""), max_members=PACKAGES_LIMIT):
        name = _package(entry)
        left -= entry.header.size
        if name in found or left < 0:
            what = "twice" if name in found else f"after more than {TOTAL_LIMIT_BYTES >> 20} MiB of others"
            raise BadInput(f"the copyright file of {name} comes {what}", hint=_HINT)
        found[name] = licence_names(b"".join(entry.content))
    return found


def _package(entry: TarEntry) -> str:
    header = entry.header
    name = header.name.decode("utf-8", "backslashreplace")
    match = _PATH.fullmatch(name)
    if not match or header.kind is not TarKind.FILE or header.size > FILE_LIMIT_KIB << 10:
        raise BadInput(f"{quoted(name)} is no copyright file of a package", hint=_HINT)
    return match[1]
