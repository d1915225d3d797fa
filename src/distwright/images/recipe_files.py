"""Files of a recipe, and what every reader of them asks: is it a text, a script, a file at all."""

import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass

from distwright.errors import quoted


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file of the recipe: its path below the recipe's folder. link: where it points if it is a symlink."""

    path: str
    content: bytes
    is_executable: bool
    link: str | None = None


def tar_of(files: Iterable[ImageFile], epoch: int) -> bytes:
    """Give files as a tar: owned by root, all times `epoch`; same files, same bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for file in sorted(files, key=lambda include: include.path):
            member = tarfile.TarInfo(file.path)
            member.mtime, member.mode = epoch, 0o755 if file.is_executable else 0o644
            if file.link is not None:
                member.type, member.linkname, member.mode = tarfile.SYMTYPE, file.link, 0o777
                tar.addfile(member)
            else:
                member.size = len(file.content)
                tar.addfile(member, io.BytesIO(file.content))
    return out.getvalue()


def script_of(file: ImageFile, problems: list[str]) -> str:
    """Read a script; "" with a problem if it is none."""
    text = text_of(file, problems)
    if file.link is None and not file.content.startswith(b"#!"):
        problems.append(f"{file.path}: does not begin with #!")
    return text


def text_of(file: ImageFile, problems: list[str]) -> str:
    """Read a text; "" with a problem if it is none."""
    if is_link(file, problems):
        return ""
    try:
        return file.content.decode()
    except UnicodeDecodeError:
        problems.append(f"{file.path}: is not UTF-8 text")
        return ""


def is_link(file: ImageFile, problems: list[str]) -> bool:
    """Say, as a problem too, whether what should be a file is a symlink."""
    if file.link is not None:
        problems.append(f"{file.path}: is a symlink, put the file itself there")
    return file.link is not None


def name_problem(path: str) -> str | None:
    """Say what is wrong with a name that people and the shell shall see; None if nothing is."""
    if not path.isprintable():  # nor are lone surrogates, which stand for bytes that are no UTF-8
        return f"{quoted(path)}: is not a name that can be printed"
    if path.rpartition("/")[2].startswith("."):
        return f"{path}: begins with a dot, which would hide it from the shell and from people"
    return None
