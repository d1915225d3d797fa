"""Settings of a live-build tree: the variables of config/*, and the options of `lb config` in auto/config."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from distwright.images.live_build_variables import VARIABLES, Notice, Verdict

CONFIG_FILES = ("all", "common", "bootstrap", "chroot", "binary", "source")
AUTO_CONFIG = "auto/config"
_VARIABLE = re.compile(r"([A-Z_][A-Z0-9_]*)=(.*)", re.DOTALL)
_COMPUTED = re.compile(r"[$`]")
# Where the option is not called as the variable: see Local_arguments in `lb config`.
_OPTIONS = {
    "apt-options": "APT_OPTIONS", "aptitude-options": "APTITUDE_OPTIONS", "architectures": "LB_ARCHITECTURE",
    "binary-image": "LB_IMAGE_TYPE", "binary-images": "LB_IMAGE_TYPE", "bootloader": "LB_BOOTLOADERS",
    "bootstrap-qemu-arch": "LB_BOOTSTRAP_QEMU_ARCHITECTURE", "debootstrap-options": "DEBOOTSTRAP_OPTIONS",
    "debootstrap-script": "DEBOOTSTRAP_SCRIPT", "dm-verity-fec": "LB_DM_VERITY_FEC_ROOTS", "gzip-options": "GZIP_OPTIONS",
    "linux-flavours": "LB_LINUX_FLAVOURS_WITH_ARCH",
    "a": "LB_ARCHITECTURE", "b": "LB_IMAGE_TYPE", "d": "LB_DISTRIBUTION", "k": "LB_LINUX_FLAVOURS_WITH_ARCH",
    "m": "LB_PARENT_MIRROR_BOOTSTRAP", "s": "LB_SOURCE_IMAGES",
}  # fmt: skip
_FLAGS = {"dm-verity": "LB_DM_VERITY"}
_SILENT_FLAGS = frozenset({
    "breakpoints", "clean", "color", "debug", "force", "ignore-system-defaults", "no-color", "quiet", "validate", "verbose",
})  # fmt: skip
_PASSED_ON = frozenset({"noauto", "${@}", "$@"})


@dataclass(frozen=True, slots=True)
class Settings:
    """values: variable -> text. notices: what of the files is no setting."""

    values: Mapping[str, str]
    notices: tuple[Notice, ...]

    def get(self, *names: str, default: str = "") -> str:
        """Give the value of the first of these variables that has one."""
        return next((self.values[name] for name in names if self.values.get(name)), default)

    def words(self, *names: str, default: str = "") -> list[str]:
        """Give it as words; live-build parts them by spaces or commas."""
        return self.get(*names, default=default).replace(",", " ").split()


def read_settings(texts: Mapping[str, str]) -> Settings:
    """Read the files of settings, in live-build's order. texts: path below the tree -> text.

    auto/config comes last: `lb config` reads what it wrote before, then its options.
    """
    notices: list[Notice] = []
    values: dict[str, str] = {}
    for path in sorted((path for path in texts if path.startswith("config/")), key=_order):
        values |= _assigned(path, texts[path], notices)
    if AUTO_CONFIG in texts:
        values |= _options(texts[AUTO_CONFIG], notices)
    return Settings(values, tuple(notices))


def is_settings(path: str) -> bool:
    """Say whether a file of the tree has settings: config/common, config/chroot.amd64, auto/config, and so on."""
    folder, _, name = path.partition("/")
    return path == AUTO_CONFIG or (folder == "config" and name.partition(".")[0] in CONFIG_FILES and "/" not in name)


def _order(path: str) -> tuple[bool, int, str]:
    """First the plain files, then those for an architecture or a distribution."""
    name, _, more = path.removeprefix("config/").partition(".")
    return bool(more), CONFIG_FILES.index(name), more


def _assigned(path: str, text: str, notices: list[Notice]) -> dict[str, str]:
    values = {}
    for word in _shell_words(path, text, notices):
        found = _VARIABLE.fullmatch(word)
        if found is None:
            if word != "export":
                notices.append(
                    Notice(f"{path}: {word}", Verdict.NOT_HONOURED, "shell code is not run, only NAME=value is read")
                )
        elif _COMPUTED.search(found[2]):
            notices.append(_computed(path, word))
        else:
            values[found[1]] = found[2]
    return values


def _options(text: str, notices: list[Notice]) -> dict[str, str]:
    values: dict[str, str] = {}
    for line in text.replace("\\\n", " ").splitlines():
        words = _shell_words(AUTO_CONFIG, line, notices)
        if words[:1] == ["exec"]:
            words = words[1:]
        if words[:2] == ["lb", "config"]:
            values |= dict(_named(words[2:], notices))
        elif words and words[0] != "set":
            notices.append(Notice(f"{AUTO_CONFIG}: {' '.join(words)}", Verdict.NOT_HONOURED, "shell code is not run"))
    return values


def _named(words: Sequence[str], notices: list[Notice]) -> Iterator[tuple[str, str]]:
    """Read the options as getopt does: `--name value`, `--name=value`, `-n value`."""
    left = [word for word in words if word not in _PASSED_ON and word != "--"]
    while left:
        word = left.pop(0)
        option, has_value, value = word.lstrip("-").partition("=")
        if not word.startswith("-"):
            notices.append(Notice(f"{AUTO_CONFIG}: {word}", Verdict.NOT_HONOURED, "is no option"))
        elif option in _SILENT_FLAGS:
            continue
        elif option in _FLAGS:
            yield _FLAGS[option], "true"
        else:
            name = _OPTIONS.get(option, f"LB_{option.upper().replace('-', '_')}")
            value = value if has_value else left.pop(0) if left else ""
            if name not in VARIABLES:
                notices.append(
                    Notice(
                        f"{AUTO_CONFIG}: {word}",
                        Verdict.NOT_HONOURED,
                        "`lb config` has no such option, or an obsolete one",
                    )
                )
            elif _COMPUTED.search(value):
                notices.append(_computed(AUTO_CONFIG, f"{word} {value}"))
            else:
                yield name, value


def _computed(path: str, word: str) -> Notice:
    return Notice(f"{path}: {word}", Verdict.NOT_HONOURED, "the shell computes it; write the value into the tables")


def _shell_words(path: str, text: str, notices: list[Notice]) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError as error:
        notices.append(Notice(path, Verdict.NOT_HONOURED, f"cannot be read as shell words ({error}); mend the file"))
        return []
