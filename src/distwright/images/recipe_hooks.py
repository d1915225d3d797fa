"""Hooks of a recipe: scripts for the image's root (`.chroot`) and for the medium (`.binary`), in live-build's order."""

import re
from collections.abc import Mapping

from distwright.images.recipe_files import ImageFile, script_of

CHROOT, BINARY = "chroot", "binary"
_HOOK_FILE = re.compile(r"hooks/(?:(normal|live)/)?([^/]+)\.(chroot|binary)")
_PLAIN = re.compile(r"hooks/([^/]+\.hook\.(?:chroot|binary))")
# Old trees have hooks/ only; live-build 20230502 runs all of normal/, then all of live/.
_FOLDERS = ("", "normal", "live")
_NOT_RUN = {
    ".container": "hooks that systemd-nspawn starts are not run, make it a .hook.chroot",
    ".source": "no image of sources is made, remove it",
}


def stage_of(path: str) -> str | None:
    """Say for what a file of hooks/ is: CHROOT or BINARY; None if it is no hook that is run."""
    found = _HOOK_FILE.fullmatch(path)
    return None if found is None else found[3]


def why_not_run(path: str) -> str | None:
    """Say why a file of hooks/ is not run, if live-build runs it."""
    return next((why for ending, why in _NOT_RUN.items() if path.endswith(ending)), None)


def hooks_of(files: list[ImageFile], stage: str, problems: list[str]) -> dict[str, str]:
    """Give the scripts of a stage by names whose order is the order of running.

    A hook directly in hooks/ keeps its name. Where there are others they get numbers in front, so that the order of names is
    live-build's order of folders.
    """
    chosen = sorted((file for file in files if stage_of(file.path) == stage), key=lambda file: _place(file.path))
    scripts = {file.path: script_of(file, problems) for file in chosen}
    plain = {path: found[1] for path in scripts if (found := _PLAIN.fullmatch(path))}
    if len(plain) == len(scripts):
        return {plain[path]: script for path, script in scripts.items()}
    return _numbered(scripts, stage)


def _numbered(scripts: Mapping[str, str], stage: str) -> dict[str, str]:
    named = {}
    for number, (path, script) in enumerate(scripts.items()):
        name = path.removeprefix("hooks/").removesuffix(f".{stage}").removesuffix(".hook").replace("/", "-")
        named[f"{number:04d}-{name}.hook.{stage}"] = script
    return named


def _place(path: str) -> tuple[int, str]:
    found = _HOOK_FILE.fullmatch(path)
    return (_FOLDERS.index(found[1] or ""), path) if found else (0, path)
