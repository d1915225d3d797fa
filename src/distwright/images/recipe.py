"""The recipe of an image: a folder with the names that live-build uses, read whole or refused with all its problems."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from distwright.errors import BadInput, listed
from distwright.images.recipe_archives import Source, archives_of
from distwright.images.recipe_files import ImageFile, is_link, name_problem, tar_of, text_of
from distwright.images.recipe_hooks import BINARY, CHROOT, hooks_of, stage_of, why_not_run
from distwright.images.recipe_lists import LIST_FILE, NO_VALUES, Values, packages_of
from distwright.images.recipe_medium import GRUB, grub_of, medium_of
from distwright.images.recipe_medium import INCLUDES as ON_MEDIUM

BEFORE, AFTER, AFTER_TOO = "includes.chroot_before_packages/", "includes.chroot/", "includes.chroot_after_packages/"
EXCLUDES = "rootfs/excludes"
_PRESEED = re.compile(r"preseed/[^/]+\.cfg(\.chroot)?")
_DEB = re.compile(r"packages(?:\.chroot)?/([^/]+\.deb)")
# Files below these are of the image or of the medium, and may be called anything.
_FREE = (BEFORE, AFTER, AFTER_TOO, ON_MEDIUM)
NOT_HONOURED: Mapping[str, str] = {
    "apt/": "live-build has no use for it either since version 3, see archives/",
    "bootloaders/": "is for another boot loader than GRUB, whose files are in bootloaders/grub-pc/",
    "debian-installer/": "no Debian installer is put on the medium",
    "includes/": "live-build has no use for it either, see includes.binary/",
    "includes.bootstrap/": "live-build has no use for it either, see includes.chroot_before_packages/",
    "includes.installer/": "no Debian installer is put on the medium",
    "includes.source/": "no image of sources is made",
    "packages.binary/": "the medium has no pool of packages",
    "rootfs/squashfs.sort": "the order of files in the squashfs is that of their names",
    "environment": "hooks get a fixed environment, export it in the hook",
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """packages: sorted, each once. includes: files by their path in the image. hooks: name -> script, run in order of name.

    before: includes that are there before packages are installed. preseed: in order, name -> answers for debconf. preferences: name
    -> pins that count while packages are installed. debs: package files to install. sources: what archives/ asks of the image's
    table. medium: files by their path on the medium. medium_hooks: scripts that run there. grub: files of GRUB's folder by name.
    excludes: patterns of what is not packed, one a line. asked_at: as apt is asked -> `FILE:LINE` that does so first.
    """

    packages: tuple[str, ...]
    includes: tuple[ImageFile, ...]
    hooks: Mapping[str, str]
    before: tuple[ImageFile, ...] = ()
    preseed: Mapping[str, bytes] = field(default_factory=dict)
    preferences: Mapping[str, bytes] = field(default_factory=dict)
    debs: Mapping[str, bytes] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()
    medium: tuple[ImageFile, ...] = ()
    medium_hooks: Mapping[str, str] = field(default_factory=dict)
    grub: Mapping[str, ImageFile] = field(default_factory=dict)
    excludes: str = ""
    asked_at: Mapping[str, str] = field(default_factory=dict)


def parse_recipe(files: list[ImageFile], values: Values = NO_VALUES) -> Recipe:
    """Read a recipe; raise BadInput with everything that is wrong or not supported.

    values: of the variables that conditions in package lists may name (recipe_lists.condition_values).
    """
    problems: list[str] = []
    chosen = _chosen(files, problems)

    def below(folder: str) -> tuple[ImageFile, ...]:
        return tuple(
            ImageFile(file.path.removeprefix(folder), file.content, file.is_executable, file.link)
            for file in chosen
            if file.path.startswith(folder)
        )

    def matching(is_wanted: Callable[[str], object]) -> list[ImageFile]:
        return [file for file in chosen if is_wanted(file.path)]

    asked_at: dict[str, str] = {}
    for file in matching(LIST_FILE.fullmatch):
        asked_at = packages_of(file, values, problems) | asked_at
    archives = archives_of(matching(lambda path: path.startswith("archives/")), values, problems)
    after = below(AFTER) or below(AFTER_TOO)
    if below(AFTER) and below(AFTER_TOO):
        problems.append(f"{AFTER} and {AFTER_TOO} mean the same, only one of them may have files")
    if not asked_at:
        problems.append("no package is named in package-lists/*.list.chroot")
    hooks = matching(lambda path: path.startswith("hooks/"))
    recipe = Recipe(
        packages=tuple(sorted(asked_at)),
        includes=(*after, *archives.includes),
        hooks=hooks_of(hooks, CHROOT, problems),
        before=below(BEFORE),
        preseed=_preseed(matching(_PRESEED.fullmatch), problems),
        preferences=archives.preferences,
        debs=_debs(matching(_DEB.fullmatch), values, problems),
        sources=archives.sources,
        medium=medium_of(matching(lambda path: path.startswith(ON_MEDIUM)), problems),
        medium_hooks=hooks_of(hooks, BINARY, problems),
        grub=grub_of(matching(lambda path: path.startswith(GRUB)), problems),
        excludes="".join(_excludes(file, problems) for file in matching(lambda path: path == EXCLUDES)),
        asked_at=asked_at,
    )
    if problems:
        raise BadInput(f"the recipe has problems:\n{listed(sorted(problems))}", hint="see docs/reference/recipe.md")
    return recipe


def includes_tar(recipe: Recipe, epoch: int) -> bytes:
    """Give the includes as a tar: owned by root, all times `epoch`; same recipe, same bytes."""
    return tar_of(recipe.includes, epoch)


def why_unused(path: str) -> str | None:
    """Say why a file is not used; None if it is, or if it is for people."""
    if path.startswith((*_FREE, GRUB, "archives/")) or path == EXCLUDES or stage_of(path) is not None:
        return None
    if any(pattern.fullmatch(path) for pattern in (LIST_FILE, _PRESEED, _DEB)):
        return None
    if path.startswith("hooks/") and (why := why_not_run(path)):
        return why
    if "/" not in path and path.endswith(".md"):
        return None
    return next(
        (why for prefix, why in NOT_HONOURED.items() if path.startswith(prefix)), "this version has no use for it"
    )


def _chosen(files: list[ImageFile], problems: list[str]) -> list[ImageFile]:
    """Give the files that mean something; what else is there is a problem each."""
    chosen = []
    for file in sorted(files, key=lambda file: file.path):
        problem = None if file.path.startswith(_FREE) else name_problem(file.path)
        if problem is None and (why := why_unused(file.path)):
            problem = f"{file.path}: {why}"
        if problem is None:
            chosen.append(file)
        else:
            problems.append(problem)
    return chosen


def _preseed(files: list[ImageFile], problems: list[str]) -> dict[str, bytes]:
    """Read answers as debconf-set-selections(1) does; live-build takes *.cfg before *.cfg.chroot."""
    found = {}
    ordered = sorted(files, key=lambda file: (file.path.endswith(".chroot"), file.path))
    for number, file in enumerate(ordered):
        problems += [
            f"{file.path}:{at}: want OWNER QUESTION TYPE VALUE"
            for at, words in _answers(text_of(file, problems))
            if len(words) < 3
        ]
        found[f"{number:04d}-{file.path.rpartition('/')[2].removesuffix('.chroot')}"] = file.content
    return found


def _answers(text: str) -> Iterator[tuple[int, list[str]]]:
    """Give each answer as number of its first line and words; a backslash at the end goes on."""
    begun, words = 0, list[str]()
    for number, line in enumerate(text.splitlines(), start=1):
        begun, words = begun or number, [*words, *line.removesuffix("\\").split()]
        if line.endswith("\\"):
            continue
        if words and not words[0].startswith("#"):
            yield begun, words
        begun, words = 0, []


def _debs(files: list[ImageFile], values: Values, problems: list[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    endings = tuple(f"_{architecture}.deb" for architecture in ("all", *values.get("ARCHITECTURE", ())))
    for file in files:
        name = file.path.rpartition("/")[2]
        if is_link(file, problems):
            continue
        if not name.endswith(endings):
            problems.append(f"{file.path}: its name ends with none of {', '.join(endings)}")
        found[name] = file.content
    return found


def _excludes(file: ImageFile, problems: list[str]) -> str:
    """Read patterns for mksquashfs -wildcards -ef: below the root, so none begins with '/'."""
    text = text_of(file, problems)
    problems += [
        f"{file.path}:{number}: begins with '/', but patterns are of paths below the root"
        for number, line in enumerate(text.splitlines(), start=1)
        if line.startswith("/")
    ]
    return text if text.endswith("\n") or not text else f"{text}\n"
