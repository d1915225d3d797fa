"""Package lists of a live-build tree: as they are if they mean the same here, otherwise with their conditions decided."""

import re
from collections.abc import Iterator

from distwright.images.live_build_variables import Notice, Verdict
from distwright.images.recipe_files import ImageFile
from distwright.images.recipe_lists import Values, packages_of

_CONDITION = re.compile(r"#n?if\s+(\S+)\s")
_IF = re.compile(r"#(n?if)\s+(\S+)\s*(.*)")


def converted_list(path: str, content: bytes, theirs: Values, here: Values) -> tuple[bytes, list[Notice]]:
    """Give the list for a recipe, and what of it is not honoured, by line.

    theirs: what conditions mean in the tree; here: what they will mean here. The list stays as it is, to the byte, if all of its
    conditions are decided alike and all of its words are names.
    """
    text = content.decode(errors="replace")
    problems: list[str] = []
    packages_of(ImageFile(path, content, is_executable=False), here, problems)
    names = set(_CONDITION.findall(text))
    if not problems and all(set(theirs.get(name, ())) == set(here.get(name, ())) for name in names):
        return content, []
    notices: list[Notice] = []
    lines = list(_decided(f"config/{path}", text, theirs, here, notices))
    return "".join(f"{line}\n" for line in lines).encode(), notices


def _decided(place: str, text: str, theirs: Values, here: Values, notices: list[Notice]) -> Iterator[str]:
    is_wanted = True
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if condition := _IF.fullmatch(line):
            kind, name, words = condition.groups()
            is_wanted = bool(set(words.split()) & set(theirs.get(name, ()))) == (kind == "if")
        elif line.startswith("#endif"):
            is_wanted = True
        elif line.startswith("!"):
            notices.append(
                Notice(
                    f"{place}:{number}: {line}",
                    Verdict.NOT_HONOURED,
                    "commands are not run: write the packages that it prints",
                )
            )
        elif line.startswith("#"):
            yield line
        elif is_wanted:
            yield " ".join(_honoured(f"{place}:{number}", line, here, notices))


def _honoured(place: str, line: str, here: Values, notices: list[Notice]) -> Iterator[str]:
    for word in re.sub(r"(^|\s)#.*$", "", line).split():
        problems: list[str] = []
        packages_of(ImageFile("x", word.encode(), is_executable=False), here, problems)
        if problems:
            notices.append(Notice(f"{place}: {word}", Verdict.NOT_HONOURED, problems[0].partition(": ")[2]))
        else:
            yield word
