"""A tree of live-build becomes a recipe and tables; whatever is not honoured is named, and no file is passed over in silence."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from distwright.errors import BadInput
from distwright.images.live_build_lists import converted_list
from distwright.images.live_build_settings import Settings, is_settings, read_settings
from distwright.images.live_build_tables import Tables, add_sources, live_packages, tables_of, toml_of
from distwright.images.live_build_variables import Notice, Verdict, notice_of
from distwright.images.recipe import AFTER, AFTER_TOO, BEFORE, parse_recipe
from distwright.images.recipe_archives import sources_in
from distwright.images.recipe_files import ImageFile
from distwright.images.recipe_hooks import stage_of
from distwright.images.recipe_lists import LIST_FILE, Values, condition_values
from distwright.images.recipe_medium import GRUB, OLD_WORD
from distwright.images.recipe_medium import INCLUDES as ON_MEDIUM
from distwright.model.names import our_name
from distwright.signing.armor import armoured

STANDARD_HOOKS = "/usr/share/live/build/hooks/"
OWN_LIST, LIVE_LIST = "package-lists/live-build.list.chroot", "package-lists/live.list.chroot"
MODES_HOOK = "hooks/0000-modes-of-includes.hook.chroot"
_INCLUDES = (BEFORE, AFTER, AFTER_TOO)
_FREE = (*_INCLUDES, ON_MEDIUM)
_FOR_GIT = re.compile(r"(^|/)\.git(keep|ignore|attributes)$")
_READ_BY_GIT = re.compile(r"(?:^|/)\.git(ignore|attributes)$")
_GIT_DOES = {
    "ignore": "is in the recipe, where git obeys it: see git status --ignored, and give git add --force what it hides",
    "attributes": "is in the recipe, where git obeys it: files beside it may get other line ends or contents",
}
_LOGIN = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*://)[^/\s]*@")
_LOGIN_LEFT = (
    "the name and password in its address are left out: fetch the archive under a credential (docs/how-to/snapshots.md)"
)
_LIST = re.compile(r"archives/([^/]+)\.list(\.chroot|\.binary)?")
_KEY = re.compile(r"archives/([^/]+)\.key(\.chroot|\.binary)?")
_CONF = re.compile(r"archives/[^/]+\.conf")
_PREF = re.compile(r"archives/[^/]+\.pref")
_HOST_PIN = re.compile(r"^Pin:\s*origin\b", re.IGNORECASE | re.MULTILINE)
_STANDARD_LEFT = {
    "5000-update-apt-file-cache.hook.chroot": "is live-build's own and asks the network for apt-file's lists, which no image has",
}
_FAILS_HERE = (
    (
        re.compile(r"^[^#]*(/live-build/config|\$\{?LB_)"),
        "live-build's config/ and LB_ variables are not there: write the value",
    ),
    (
        re.compile(r"^[^#]*\b(apt|apt-get|aptitude)\b.*\b(install|update|(dist-|full-)?upgrade)\b"),
        "a hook has neither network nor lists of packages: name packages in a package list",
    ),
    (
        re.compile(r"^[^#]*\b(wget|curl|git +clone|pip3? +install)\b"),
        "a hook has no network: bring the file as an include or a package",
    ),
)
_SOURCED = re.compile(r"^\s*(?:source|configfile)\s+/boot/grub/(\S+)", re.MULTILINE)
_ORDINARY = (0o644, 0o755, 0o664, 0o775)  # what git makes of its two modes, for somebody with umask 022 or 002
_OF_TEMPLATES = ("config.cfg", "theme.cfg", "live-theme/theme.txt")


@dataclass(frozen=True, slots=True)
class TreeFile:
    """A file of the tree: path below it, and mode as stat(2) gives it. link: where it points; content is then what is there."""

    path: str
    content: bytes
    mode: int
    link: str | None = None
    is_there: bool = True


@dataclass(frozen=True, slots=True)
class LiveBuildTree:
    """folders: those without files. notices: of what is neither. templates: live-build's own GRUB files, if it is installed."""

    files: tuple[TreeFile, ...]
    folders: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()
    templates: tuple[TreeFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Imported:
    """name: of the image. files: of the recipe. keys: name -> armoured certificate. tables: TOML."""

    name: str
    files: tuple[ImageFile, ...]
    keys: Mapping[str, bytes]
    tables: str
    notices: tuple[Notice, ...]


def from_live_build(tree: LiveBuildTree, name: str, recipe: str) -> Imported:
    """Translate a tree (pure). name: of the image; "" takes LB_IMAGE_NAME. recipe: its folder, NAME stands for the name there."""
    texts = {file.path: file.content.decode(errors="replace") for file in tree.files if is_settings(file.path)}
    settings, secrets = _without_passwords(read_settings(texts))
    tables = tables_of(settings)
    name = name or _name(settings.get("LB_IMAGE_NAME", default="live-image"))
    notices = [*tree.notices, *(Notice(path, Verdict.HONOURED, "its variables, one by one below") for path in texts)]
    here = _values(settings, tables)
    work = _Work(settings, tables, here, notices)
    work.take(tree)
    files = _checked(work.files, here, notices)
    said = [tables.said.get(key) or notice_of(key, value) for key, value in sorted(settings.values.items())]
    toml = toml_of(tables, name, recipe.replace("NAME", name))
    everything = (_without_password(one) for one in (*notices, *settings.notices, *secrets, *said))
    return Imported(name, tuple(files), work.keys, toml, tuple(everything))


def is_include(path: str) -> bool:
    """Say whether a path below the tree is that of a file which the recipe gives to the image, or its medium, as it is."""
    return path.removeprefix("config/").startswith(_FREE)


def _without_passwords(settings: Settings) -> tuple[Settings, list[Notice]]:
    """Leave out who fetches from an address, and name the variables that said it: tables and reports are for everybody."""
    values = {name: _LOGIN.sub(r"\1", value) for name, value in settings.values.items()}
    changed = [name for name in sorted(values) if values[name] != settings.values[name]]
    return replace(settings, values=values), [Notice(name, Verdict.NOT_HONOURED, _LOGIN_LEFT) for name in changed]


def _without_password(notice: Notice) -> Notice:
    return replace(notice, what=_LOGIN.sub(r"\1", notice.what), how=_LOGIN.sub(r"\1", notice.how))


def _name(text: str) -> str:
    cleaned = re.sub(r"[^a-z0-9._+-]|\.(?=\.)", "-", text.lower()).strip("._+-")[:64]
    return our_name(cleaned or "live-image", "image")


def _values(settings: Settings, tables: Tables) -> Values:
    first = tables.archives[0]
    return condition_values(
        str(tables.image["architecture"]),
        first.suites[0],
        first.components,
        recommends=bool(tables.image["recommends"]),
    )


class _Work:
    """The files of a tree, one kind after the other; each adds files of the recipe and notices."""

    def __init__(self, settings: Settings, tables: Tables, here: Values, notices: list[Notice]) -> None:
        self.settings, self.tables, self.here, self.notices = settings, tables, here, notices
        self.files: list[ImageFile] = []
        self.keys: dict[str, bytes] = {}

    def take(self, tree: LiveBuildTree) -> None:
        """Go through the tree."""
        config = [
            replace(file, path=file.path.removeprefix("config/"))
            for file in tree.files
            if file.path.startswith("config/") and not is_settings(file.path)
        ]
        for file in tree.files:
            if not file.path.startswith("config/") and not is_settings(file.path):
                self._say(
                    file.path, Verdict.NOT_HONOURED, "is not run: what it does must be said in config/ or in the tables"
                )
        self._lists_of_archives(config)
        for file in config:
            if _LIST.fullmatch(file.path) is None and _KEY.fullmatch(file.path) is None:
                self._file(file)
        self._modes(config, tree.folders)
        self._packages({file.path for file in config})
        self._templates(tree)

    def _say(self, path: str, verdict: Verdict, how: str) -> None:
        self.notices.append(Notice(path if path.startswith("auto/") else f"config/{path}", verdict, how))

    def _add(self, file: TreeFile, path: str = "", how: str = "", *, content: bytes | None = None) -> None:
        executable = bool(file.mode & 0o111)
        link = file.link if file.path.startswith(_FREE) else None
        kept = b"" if link is not None else file.content if content is None else content
        self.files.append(ImageFile(path or file.path, kept, executable, link))
        self._say(file.path, Verdict.HONOURED, how or "in the recipe")

    def _file(self, file: TreeFile) -> None:
        path = file.path
        if path.startswith(_FREE):
            self._add(file)
            if (found := _READ_BY_GIT.search(path)) is not None:
                self._say(path, Verdict.NOT_HONOURED, _GIT_DOES[found[1]])
        elif _FOR_GIT.search(path):
            self._say(path, Verdict.NOT_NEEDED, "is git's")
        elif not file.is_there:
            is_theirs = str(file.link).startswith(STANDARD_HOOKS)
            why = (
                "is live-build's own hook: import where live-build is installed"
                if is_theirs
                else "leads to no file of the tree"
            )
            self._say(path, Verdict.NOT_HONOURED, f"{why}; or put the file itself there: {file.link}")
        elif LIST_FILE.fullmatch(path):
            content, lost = converted_list(path, file.content, self._conditions(), self.here)
            how = "in the recipe" if content == file.content else "in the recipe, with its conditions decided"
            self.notices += lost
            self._add(file, how=how, content=content)
        elif stage_of(path) is not None:
            self._hook(file)
        elif _CONF.fullmatch(path):
            self._add(file, f"{path}.binary", "in the image only: while it is built, apt's settings are distwright's")
        elif _PREF.fullmatch(path) and _HOST_PIN.search(file.content.decode(errors="replace")):
            self._add(file, f"{path}.binary", "in the image only: a pin by host does not count while it is built")
        elif path.startswith(GRUB) and path.endswith(".cfg"):
            text = OLD_WORD.sub(r"@\1@", file.content.decode(errors="surrogateescape")).encode(errors="surrogateescape")
            self._add(
                file,
                content=text,
                how="in the recipe" if text == file.content else "in the recipe, with live-build's newer words",
            )
        else:
            self._add(file)

    def _hook(self, file: TreeFile) -> None:
        if file.link is not None and (why := _STANDARD_LEFT.get(file.path.rpartition("/")[2])):
            self._say(file.path, Verdict.NOT_HONOURED, why)
            return
        content = file.content
        how = "in the recipe" if file.link is None else f"in the recipe, as a copy of {file.link}"
        if not content.startswith(b"#!"):  # env(1) gives such a file to /bin/sh
            content, how = b"#!/bin/sh\n" + content, f"{how}, begun with #!/bin/sh"
        if file.path.count("/") == 1:
            how += "; it runs, though live-build 20230502 passes over what is not in normal/ or live/"
        self._add(file, how=how, content=content)
        for number, line in enumerate(file.content.decode(errors="replace").splitlines(), start=1):
            for pattern, why in _FAILS_HERE:
                if pattern.search(line):
                    self._say(f"{file.path}:{number}", Verdict.NOT_HONOURED, why)

    def _conditions(self) -> Values:
        """Give what live-build would compare conditions with: the tree's values where it has some."""
        theirs = {
            name.removeprefix("LB_"): tuple(value.replace(",", " ").split())
            for name, value in self.settings.values.items()
        }
        return {**self.here, **theirs}

    def _lists_of_archives(self, config: Sequence[TreeFile]) -> None:
        keys = {found[1]: file for file in config if (found := _KEY.fullmatch(file.path))}
        lists = [(found[1], found[2], file) for file in config if (found := _LIST.fullmatch(file.path))]
        used: set[str] = set()
        for stem, stage, file in lists:
            problems: list[str] = []
            written = file.content.decode(errors="replace")
            text = _LOGIN.sub(r"\1", written)
            if text != written:
                self._say(file.path, Verdict.NOT_HONOURED, _LOGIN_LEFT)
            sources = sources_in(f"config/{file.path}", text, self.here, problems)
            self.notices += [
                Notice(place, Verdict.NOT_HONOURED, why) for place, _, why in (one.partition(": ") for one in problems)
            ]
            key = stem if stem in keys else next(iter(keys), "") if len(keys) == len(lists) == 1 else ""
            before = {one.name for one in self.tables.archives}
            self.tables.archives = add_sources(
                self.tables.archives, _name(stem), sources, f"keys/{_name(key)}.asc" if key else ""
            )
            made = sorted({one.name for one in self.tables.archives} - before)
            used |= {key} if made and key else set()
            how = f"as {', '.join(f'[archive.{one}]' for one in made) or 'suites of an archive that is there already'}"
            if stage:
                how += ": in the build and in the image, which is both or neither here"
            self._say(file.path, Verdict.HONOURED, how)
            if made and not key:
                self._say(
                    file.path,
                    Verdict.NOT_HONOURED,
                    f"no key of its name: put the archive's certificate into keys/{made[0]}.asc",
                )
        for stem, file in keys.items():
            if stem in used:
                self.keys[f"{_name(stem)}.asc"] = armoured(file.content)
                self._say(file.path, Verdict.HONOURED, f"as keys/{_name(stem)}.asc, the keyring of its archive")
            else:
                self._say(
                    file.path,
                    Verdict.NOT_HONOURED,
                    "belongs to no list of its name: say it as keyring of its [archive.NAME]",
                )

    def _modes(self, config: Sequence[TreeFile], folders: Sequence[str]) -> None:
        """git keeps no modes but 644 and 755, and no empty folders; a hook makes them."""
        lines = []
        for folder in _INCLUDES:
            below = [path.removeprefix(f"config/{folder}") for path in folders if path.startswith(f"config/{folder}")]
            lines += [f"mkdir -p /{shlex.quote(path)}" for path in below if path]
            for file in config:
                bits = file.mode & 0o7777
                if file.path.startswith(folder) and file.link is None and bits not in _ORDINARY:
                    lines.append(f"chmod {bits:04o} /{shlex.quote(file.path.removeprefix(folder))}")
        if lines:
            text = "\n".join(
                ("#!/bin/sh", "# Made by `distwright image import`: what git does not keep.", "set -eu", *lines, "")
            )
            self.files.append(ImageFile(MODES_HOOK, text.encode(errors="surrogateescape"), is_executable=True))
            self.notices.append(
                Notice(
                    MODES_HOOK,
                    Verdict.HONOURED,
                    "was written: sets modes and makes empty folders, which git does not keep",
                )
            )

    def _packages(self, paths: set[str]) -> None:
        lists = [(OWN_LIST, self.tables.packages)]
        if LIVE_LIST not in paths:
            lists.append((LIVE_LIST, live_packages(self.settings)))
        for path, names in lists:
            text = "# What live-build installs though no list names it.\n" + "".join(f"{name}\n" for name in names)
            self.files.append(ImageFile(path, text.encode(), is_executable=False))
            self.notices.append(Notice(path, Verdict.HONOURED, f"was written: {' '.join(names)}"))

    def _templates(self, tree: LiveBuildTree) -> None:
        """live-build copies its own files of GRUB first, then the tree's over them."""
        have = {file.path.removeprefix(GRUB) for file in self.files if file.path.startswith(GRUB)}
        if not have:
            return
        for template in tree.templates:
            if template.path in (*_OF_TEMPLATES, "grub.cfg") and template.path not in have:
                self.files.append(ImageFile(f"{GRUB}{template.path}", template.content, is_executable=False))
                self.notices.append(
                    Notice(
                        f"{GRUB}{template.path}",
                        Verdict.HONOURED,
                        "was copied: live-build's own, which the tree's goes with",
                    )
                )
                have.add(template.path)
        for file in self.files:
            if file.path.startswith(GRUB) and file.path.endswith(".cfg"):
                for wanted in sorted(
                    set(_SOURCED.findall(file.content.decode(errors="replace"))) & set(_OF_TEMPLATES) - have
                ):
                    self._say(
                        file.path,
                        Verdict.NOT_HONOURED,
                        f"sources live-build's own {wanted}, which is not installed here; put it beside",
                    )


def _checked(files: Sequence[ImageFile], here: Values, notices: list[Notice]) -> list[ImageFile]:
    """Leave out what a recipe here cannot have, with the reason, until the recipe is right."""
    kept = list(files)
    for _ in files:
        try:
            parse_recipe(kept, here)
        except BadInput as error:
            problems = [line.strip() for line in error.message.split("\n")[1:]]
            wrong = {file.path: why for file in kept for line in problems if (why := _why(file.path, line))}
            if not wrong:
                raise
            notices[:] = [
                one
                for one in notices
                if one.what.removeprefix("config/") not in wrong or one.verdict is Verdict.NOT_HONOURED
            ]
            notices += [Notice(f"config/{path}", Verdict.NOT_HONOURED, why) for path, why in sorted(wrong.items())]
            kept = [file for file in kept if file.path not in wrong]
        else:
            return kept
    return kept


def _why(path: str, line: str) -> str | None:
    """Give the reason if a line of a refused recipe is about this file: `path: why`, `path:line: why`, or its quoted name."""
    for begin in (path, repr(path)):
        if line.startswith(f"{begin}:"):
            return line.removeprefix(f"{begin}:").strip()
    same = f"{AFTER} and {AFTER_TOO}"
    return line if line.startswith(same) and path.startswith(AFTER_TOO) else None


def summary(
    notices: Sequence[Notice], whole: Sequence[str] = ("includes.chroot", "includes.binary")
) -> Iterator[Notice]:
    """Put the honoured files of a folder of includes into one line; all else is said one by one."""
    counts: dict[str, int] = {}
    for notice in notices:
        folder = notice.what.removeprefix("config/").partition("/")[0]
        if notice.verdict is Verdict.HONOURED and folder.startswith(tuple(whole)) and notice.what.startswith("config/"):
            counts[folder] = counts.get(folder, 0) + 1
        else:
            yield notice
    for folder, count in sorted(counts.items()):
        yield Notice(f"config/{folder}/", Verdict.HONOURED, f"in the recipe, {count} files")
