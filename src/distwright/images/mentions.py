"""Names of packages that a recipe speaks of: what hooks purge, hold or ask for, what apt's preferences pin.

A tagged snapshot has them too: a rehearsal of the build that finds no such name would end otherwise than the build.
Hooks are scripts and are not understood, only read: words after the verbs of apt and dpkg. A name in a variable is not seen.
"""

import re
from collections.abc import Iterator, Sequence

from distwright.errors import BadInput
from distwright.images.recipe import Recipe
from distwright.model.names import installable_name

_PREFERENCES = re.compile(r"etc/apt/preferences(\.d/[^/]+)?")
_PINNED = re.compile(r"^Package:[ \t]*((?:[^\n]*)(?:\n[ \t][^\n]*)*)", re.MULTILINE | re.IGNORECASE)
_COMMENT = re.compile(r"(^|\s)#[^\n]*")
_VARIABLE = re.compile(r"\$\{[^}]*\}")
_BETWEEN = re.compile(r"[;&|()`{}\n]+|\$\(")
_APT_VERBS = frozenset(
    {"install", "reinstall", "remove", "purge", "autoremove", "autopurge", "satisfy", "build-dep", "download", "source"}
)
_MARK_VERBS = frozenset({"auto", "manual", "hold", "unhold", "install", "remove", "purge", "minimize-manual"})
_DPKG_VERBS = frozenset(
    {"-P", "--purge", "-r", "--remove", "-L", "--listfiles", "-s", "--status", "-l", "--list", "-V", "--verify"}
)
_VERBS = {
    **dict.fromkeys(("apt", "apt-get", "aptitude"), _APT_VERBS),
    "apt-mark": _MARK_VERBS,
    **dict.fromkeys(("dpkg", "dpkg-query"), _DPKG_VERBS | {"-W", "--show"}),
}


def mentioned_names(recipe: Recipe) -> tuple[str, ...]:
    """Give the names, sorted; those of package lists are not among them, but for what hooks and pins say of them too."""
    found = {name for script in recipe.hooks.values() for name in _in_hook(script)}
    files = [file.content for file in (*recipe.before, *recipe.includes) if _PREFERENCES.fullmatch(file.path)]
    found |= {name for content in (*files, *recipe.preferences.values()) for name in _pinned(content)}
    return tuple(sorted(found))


def _pinned(content: bytes) -> Iterator[str]:
    """Read apt_preferences(5): names, not patterns and not sources."""
    text = re.sub(r"^#[^\n]*\n?", "", content.decode(errors="replace"), flags=re.MULTILINE)
    for match in _PINNED.finditer(text):
        yield from _names(match[1].split())


def _in_hook(script: str) -> Iterator[str]:
    joined = _VARIABLE.sub("$x", _COMMENT.sub("", script.replace("\\\n", " ")))
    for command in _BETWEEN.split(joined):
        words = [word.strip("'\"") for word in command.split()]
        for at, word in enumerate(words):
            program = word.rpartition("/")[2]
            if program in _VERBS:
                yield from _names(_after_verb(words[at + 1 :], _VERBS[program]))
                break


def _after_verb(words: Sequence[str], verbs: frozenset[str]) -> list[str]:
    """Give the arguments of the first verb; options are none, and what is redirected is no argument."""
    at = next((at for at, word in enumerate(words) if word in verbs), len(words))
    words = words[at + 1 :]
    until = next((at for at, word in enumerate(words) if word[:1] in "<>" or word[1:2] == ">"), len(words))
    return [word for word in words[:until] if not word.startswith("-")]


def _names(words: Sequence[str]) -> Iterator[str]:
    """Give the names of packages among words: without version, suite, architecture and apt's - at the end."""
    for word in words:
        name = re.split(r"[=/:]", word, maxsplit=1)[0]
        if word.startswith("src:"):
            continue
        try:
            yield installable_name(name.rstrip("-"))
        except BadInput:
            continue
