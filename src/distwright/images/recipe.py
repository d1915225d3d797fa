"""The recipe of an image: package lists, includes and hooks, in the folder names that live-build uses."""

import io
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass

from distwright.errors import BadInput, listed, quoted
from distwright.model.names import installable_name

_INCLUDE = "includes.chroot/"
# Not in folders below: live-build's hooks/normal/ would be passed over by the script that runs the hooks.
_LIST_FILE = re.compile(r"package-lists/[^/]+\.list\.chroot")
_HOOK_FILE = re.compile(r"hooks/([^/]+\.hook\.chroot)")
_HIDDEN_FILE = re.compile(r"(^|/)\.[^/]*\.chroot$")
_COMMENT = re.compile(r"(^|\s)#.*$")


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file of the recipe: its path below the recipe's folder."""

    path: str
    content: bytes
    is_executable: bool
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """packages: sorted, each once. includes: files by their path in the image. hooks: name -> script, run in order of name."""

    packages: tuple[str, ...]
    includes: tuple[ImageFile, ...]
    hooks: Mapping[str, str]


def parse_recipe(files: list[ImageFile]) -> Recipe:
    """Read a recipe; raise BadInput with everything that is wrong or not supported."""
    problems: list[str] = []
    packages: set[str] = set()
    includes: list[ImageFile] = []
    hooks: dict[str, str] = {}
    for file in files:
        if file.path.startswith(_INCLUDE):
            path = file.path.removeprefix(_INCLUDE)
            includes.append(ImageFile(path, file.content, file.is_executable, file.link))
        elif not file.path.isprintable():  # nor are lone surrogates, which stand for bytes that are no UTF-8
            problems.append(f"{quoted(file.path)}: is not a name that can be printed")
        elif _HIDDEN_FILE.search(file.path):
            problems.append(f"{file.path}: begins with a dot, which would hide it from the shell and from people")
        elif _LIST_FILE.fullmatch(file.path):
            packages |= _packages(file, problems)
        elif found := _HOOK_FILE.fullmatch(file.path):
            hooks[found[1]] = _script(file, problems)
        elif "/" in file.path or not file.path.endswith(".md"):
            problems.append(f"{file.path}: this version has no use for it")
    if not packages:
        problems.append("no package is named in package-lists/*.list.chroot")
    if problems:
        raise BadInput(f"the recipe has problems:\n{listed(sorted(problems))}", hint="see docs/reference/recipe.md")
    return Recipe(tuple(sorted(packages)), tuple(includes), dict(sorted(hooks.items())))


def includes_tar(recipe: Recipe, epoch: int) -> bytes:
    """Give the includes as a tar: owned by root, all times `epoch`; same recipe, same bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for file in sorted(recipe.includes, key=lambda include: include.path):
            member = tarfile.TarInfo(file.path)
            member.mtime, member.mode = epoch, 0o755 if file.is_executable else 0o644
            if file.link is not None:
                member.type, member.linkname, member.mode = tarfile.SYMTYPE, file.link, 0o777
                tar.addfile(member)
            else:
                member.size = len(file.content)
                tar.addfile(member, io.BytesIO(file.content))
    return out.getvalue()


def _packages(file: ImageFile, problems: list[str]) -> set[str]:
    found: set[str] = set()
    if _is_link(file, problems):
        return found
    for number, line in enumerate(file.content.decode(errors="replace").splitlines(), start=1):
        if line.startswith(("#if ", "#endif")):
            problems.append(f"{file.path}:{number}: conditions are not supported yet")
        for word in _COMMENT.sub("", line).split():
            try:
                found.add(installable_name(word))
            except BadInput:
                problems.append(f"{file.path}:{number}: {quoted(word)} is not a package name")
    return found


def _script(file: ImageFile, problems: list[str]) -> str:
    if _is_link(file, problems):
        return ""
    if not file.content.startswith(b"#!"):
        problems.append(f"{file.path}: does not begin with #!")
    try:
        return file.content.decode()
    except UnicodeDecodeError:
        problems.append(f"{file.path}: is not UTF-8 text")
        return ""


def _is_link(file: ImageFile, problems: list[str]) -> bool:
    if file.link is not None:
        problems.append(f"{file.path}: is a symlink, put the file itself there")
    return file.link is not None
