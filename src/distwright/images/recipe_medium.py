"""What a recipe puts on the medium: includes.binary/, and GRUB's menu and theme from bootloaders/grub-pc/."""

import re
from collections.abc import Mapping
from dataclasses import replace

from distwright.images.recipe_files import ImageFile, is_link, text_of

INCLUDES = "includes.binary/"
GRUB = "bootloaders/grub-pc/"
MENU = "boot/grub/grub.cfg"
_GRUB_FOLDER = "boot/grub/"
_MADE_LATER = frozenset({"boot/grub/bios.img", "boot.catalog", "md5sum.txt"})
_IN_ESP = "EFI/BOOT/"
_OLD_WORDS = (
    "LINUX_LIVE", "KERNEL_LIVE", "INITRD_LIVE", "APPEND_LIVE", "LINUX_INSTALL", "LINUX_ADVANCED_INSTALL",
    "LB_BOOTAPPEND_LIVE", "LB_BOOTAPPEND_LIVE_FAILSAFE", "LB_BOOTAPPEND_INSTALL",
)  # fmt: skip
OLD_WORD = re.compile(rf"(?<![@A-Z_])({'|'.join(_OLD_WORDS)})(?![@A-Z_])")
# What nobody has here: an installer, a memory test.
_ABSENT = (
    "KERNEL_GI", "INITRD_GI", "APPEND_GI", "KERNEL_DI", "INITRD_DI", "APPEND_DI", "APPEND_INSTALL", "LB_BOOTAPPEND_INSTALL",
)  # fmt: skip
_THEME = "live-theme/theme.txt"


def medium_of(files: list[ImageFile], problems: list[str]) -> tuple[ImageFile, ...]:
    """Give the files of includes.binary/ by their path on the medium."""
    found = []
    for file in files:
        path = file.path.removeprefix(INCLUDES)
        if path in _MADE_LATER:
            problems.append(f"{file.path}: is written when the medium is complete")
        elif path.startswith(_IN_ESP) and "/" in path.removeprefix(_IN_ESP):
            problems.append(f"{file.path}: {_IN_ESP} has no folders")
        found.append(replace(file, path=path))
    return tuple(found)


def grub_of(files: list[ImageFile], problems: list[str]) -> dict[str, ImageFile]:
    """Give the files of bootloaders/grub-pc/ by their name in GRUB's folder."""
    found = {}
    for file in files:
        name = file.path.removeprefix(GRUB)
        if is_link(file, problems):
            continue
        if name.endswith(".cfg"):
            text_of(file, problems)
            problems += [
                f"{file.path}:{number}: live-build's old {word}, write @{word}@"
                for number, line in enumerate(file.content.decode(errors="replace").splitlines(), start=1)
                for word in OLD_WORD.findall(line)
            ]
        found[name] = file
    return found


def grub_menu(grub: Mapping[str, ImageFile], entry: str, values: Mapping[str, str]) -> str:
    """Give the text of grub.cfg: the recipe's, or one with our entry and its theme. values: of its @WORDS@; see grub_words."""
    if "grub.cfg" in grub:
        return filled(grub["grub.cfg"].content.decode(), entry, values)
    sourced = next((f"source /{_GRUB_FOLDER}{name}\n" for name in ("config.cfg", "theme.cfg") if name in grub), "")
    return (sourced or _graphics(grub)) + entry


def grub_files(grub: Mapping[str, ImageFile], entry: str, values: Mapping[str, str]) -> tuple[ImageFile, ...]:
    """Give the other files of GRUB by their path on the medium, the words of .cfg files filled in."""
    return tuple(
        ImageFile(
            f"{_GRUB_FOLDER}{name}",
            filled(file.content.decode(), entry, values).encode() if name.endswith(".cfg") else file.content,
            file.is_executable,
        )
        for name, file in grub.items()
        if name != "grub.cfg"
    )


def grub_words(architecture: str, append: str) -> dict[str, str]:
    """Give live-build's words of a menu, but for LINUX_LIVE. append: the kernel's command line."""
    return {
        "KERNEL_LIVE": "/live/vmlinuz",
        "INITRD_LIVE": "/live/initrd.img",
        **dict.fromkeys(("APPEND_LIVE", "LB_BOOTAPPEND_LIVE", "LB_BOOTAPPEND_LIVE_FAILSAFE"), append),
        "FLAVOUR_LIVE": architecture,
        "ENABLE_INSTALL_MENU": "false",
        "ENABLE_MEMTEST": "false",
        "MEMTEST_DIR": "/live",
        "MEMTEST_BIN": "/live/memtest",
        "MEMTEST_VERSION": "none",
        **dict.fromkeys(_ABSENT, ""),
    }


def filled(text: str, entry: str, values: Mapping[str, str]) -> str:
    """Fill in a menu as live-build does: `entry` for each line that has @LINUX_LIVE@, then the other words."""
    pattern = re.compile("|".join(rf"@{re.escape(word)}@" for word in values))
    lines = [
        entry.rstrip("\n") if "@LINUX_LIVE@" in line else pattern.sub(lambda found: values[found[0].strip("@")], line)
        for line in text.splitlines()
    ]
    return "\n".join(lines) + "\n"


def _graphics(grub: Mapping[str, ImageFile]) -> str:
    """Show a theme or a picture where nothing of the recipe does."""
    shown = ""
    if _THEME in grub:
        shown = f"    set theme=/{_GRUB_FOLDER}{_THEME}\n"
    elif "splash.png" in grub:
        shown = f"    background_image /{_GRUB_FOLDER}splash.png\n"
    if not shown:
        return ""
    modules = "".join(f"    insmod {module}\n" for module in ("all_video", "gfxterm", "png"))
    return f"if loadfont $prefix/unicode.pf2; then\n{modules}    terminal_output gfxterm\n{shown}fi\n"
