"""Text on a screen, read by tesseract. What it mixes up on a console is taken for the same."""

import os
import re
from pathlib import Path

from .patience import DrivingError
from .pictures import Picture

TESSERACT = "tesseract"
_SCALE = 3  # letters of a console are 16 pixels high; tesseract is made for 30 and more
_ALIKE = str.maketrans(
    {"0": "o", "1": "l", "i": "l", "|": "l", "!": "l", "5": "s", "8": "b", "—": "-", "’": "'", "‘": "'"}
)


def words_on(picture: Picture, folder: Path) -> str:
    """Read the text of a picture. folder: for files of a moment. Raises DrivingError if tesseract cannot."""
    source, target = folder / "reading.pgm", folder / "reading"
    source.write_bytes(large_and_dark(picture))
    argv = [TESSERACT, str(source), str(target), "--psm", "6", "-l", "eng"]
    quiet = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1, 2)]
    environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}
    pid = os.posix_spawnp(argv[0], argv, environment, file_actions=quiet)
    if os.waitpid(pid, 0)[1] != 0:
        raise DrivingError("tesseract cannot read the picture; are its words installed (tesseract-ocr-eng)?")
    return target.with_suffix(".txt").read_text(errors="replace")


def large_and_dark(picture: Picture) -> bytes:
    """Give a PGM of it for tesseract: three times as large, dark on light, as paper is (pure)."""
    grey = picture.pixels[1::3]  # green: the eye's
    if sum(grey[::97]) < 128 * len(grey[::97]):
        grey = grey.translate(bytes(255 - value for value in range(256)))
    out = [f"P5\n{picture.width * _SCALE} {picture.height * _SCALE}\n255\n".encode()]
    for at in range(0, len(grey), picture.width):
        row = bytearray(picture.width * _SCALE)
        for shift in range(_SCALE):
            row[shift::_SCALE] = grey[at : at + picture.width]
        out += [bytes(row)] * _SCALE
    return b"".join(out)


def has_words(read: str, wanted: str) -> bool:
    """Say whether a text was read, whatever spaces, case and letters that look alike (pure)."""
    return _simple(wanted) in _simple(read)


def _simple(text: str) -> str:
    return re.sub(r"\s+", "", text.lower()).translate(_ALIKE)
