"""Where keys stand: known layouts one by one, then generated documents whose lines are known beforehand."""

import tomllib
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distwright.config.lines import MAX_DEPTH, TooDeep, locate
from distwright.config.problems import Path

EVERY_LAYOUT = '''\
# a comment
format = 1

[archive.debian]  # = not a key
suites = [
    "a = 1",  # [not.a.table]
    'b]',
]
"quoted \\u0041.key" = """
[not.a.table]
x = 1 \\""" still
"""
inline = { a = 1, b.c = [ { d = 2 } ], 'e' = "}" }
date = 1979-05-27 07:32:00
dotted . two."three" = true

[[list]]
k = \'\'\'
'' # none\'\'\'
[list.sub]
deep = 1
[[list]]
[[list.inner]]
z = 0
[archive]
'''

LINES: dict[Path, int] = {
    ("format",): 2,
    ("archive",): 25,
    ("archive", "debian"): 4,
    ("archive", "debian", "suites"): 5,
    ("archive", "debian", "suites", 0): 6,
    ("archive", "debian", "suites", 1): 7,
    ("archive", "debian", "quoted A.key"): 9,
    ("archive", "debian", "inline"): 13,
    ("archive", "debian", "inline", "a"): 13,
    ("archive", "debian", "inline", "b"): 13,
    ("archive", "debian", "inline", "b", "c"): 13,
    ("archive", "debian", "inline", "b", "c", 0): 13,
    ("archive", "debian", "inline", "b", "c", 0, "d"): 13,
    ("archive", "debian", "inline", "e"): 13,
    ("archive", "debian", "date"): 14,
    ("archive", "debian", "dotted"): 15,
    ("archive", "debian", "dotted", "two"): 15,
    ("archive", "debian", "dotted", "two", "three"): 15,
    ("list",): 17,
    ("list", 0): 17,
    ("list", 0, "k"): 18,
    ("list", 0, "sub"): 20,
    ("list", 0, "sub", "deep"): 21,
    ("list", 1): 22,
    ("list", 1, "inner"): 23,
    ("list", 1, "inner", 0): 23,
    ("list", 1, "inner", 0, "z"): 24,
}


def paths_of(value: object, path: Path = ()) -> set[Path]:
    """All keys and list positions that tomllib sees."""
    members: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        members = list(value.items())
    elif isinstance(value, list):
        members = list(enumerate(value))
    return {(*path, key) for key, _ in members}.union(*(paths_of(member, (*path, key)) for key, member in members))


def test_every_layout_of_toml_is_located() -> None:
    assert locate(EVERY_LAYOUT) == LINES
    assert paths_of(tomllib.loads(EVERY_LAYOUT)) == set(LINES)


def test_windows_line_ends_do_not_move_lines() -> None:
    assert locate(EVERY_LAYOUT.replace("\n", "\r\n")) == locate(EVERY_LAYOUT)


def test_text_cut_anywhere_keeps_the_lines_before_the_cut() -> None:
    whole = locate(EVERY_LAYOUT)
    for cut in range(len(EVERY_LAYOUT)):
        for path, line in locate(EVERY_LAYOUT[:cut]).items():
            if path in whole and path != ("archive",):  # whose own header is the last line
                assert line == whole[path]


@pytest.mark.parametrize(
    "text",
    [
        "\n[" + "a." * MAX_DEPTH + "a]",
        "\n" + "a." * 500_000 + "a = 1",
        "\na = " + "[" * 100_000,
        "\na = " + "{a = " * 100_000,
        "[a.b.c.d.e.f.g.h]\ni.j.k.l.m.n.o.p.q = 1",
        "\na = " + "9" * 5000,
    ],
)
def test_what_would_stop_tomllib_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(TooDeep) as caught:
        locate(text)
    assert caught.value.line == 2


@dataclass
class Writer:
    """Writes TOML and remembers the line of each key."""

    text: str = ""
    lines: dict[Path, int] = field(default_factory=dict)

    @property
    def line(self) -> int:
        return self.text.count("\n") + 1

    def key(self, draw: st.DrawFn, name: str) -> None:
        """Write a key bare where that is possible, else in quotes of either kind."""
        basic = '"' + "".join(c if c.isalnum() else f"\\U{ord(c):08X}" for c in name) + '"'
        ways = [basic]
        if name.isascii() and name.replace("-", "a").isalnum():
            ways.append(name)
        if name.isprintable() and "'" not in name:
            ways.append(f"'{name}'")
        self.text += draw(st.sampled_from(ways))

    def keys(self, draw: st.DrawFn, names: list[str]) -> None:
        for position, name in enumerate(names):
            if position:
                self.text += draw(st.sampled_from([".", " . ", "\t."]))
            self.key(draw, name)


NAMES = st.text(st.sampled_from("abkZ09- .='\"#[]{}é\n\\"), max_size=4)
SCALARS = st.sampled_from(
    [
        *("1", "0x1F", "true", "1.5e3", "nan", "07:32:00", "1979-05-27 07:32:00Z", '"x # = ] }"', "'\\'", '""', "''"),
        *('"""a\n"" = ]\n[b]\n\\""" c"""', "'''\n'' x = 1\n\n'''", '"""x"""""', "''''x'''''", '"""\\\n  y"""', '"\\""'),
    ]
)
GAPS = st.sampled_from(["", " ", "\n", " # ] , }\n", "\n\n\t"])


def write_value(draw: st.DrawFn, out: Writer, path: Path, depth: int) -> None:
    kind = draw(st.sampled_from(["scalar", "scalar", "list", "inline"])) if depth else "scalar"
    if kind == "scalar":
        out.text += draw(SCALARS)
    elif kind == "list":
        out.text += "["
        count = draw(st.integers(0, 3))
        for position in range(count):
            out.text += draw(GAPS)
            out.lines[(*path, position)] = out.line
            write_value(draw, out, (*path, position), depth - 1)
            out.text += draw(GAPS) + ("," if position < count - 1 else draw(st.sampled_from(["", ","])))
        out.text += draw(GAPS) + "]"
    else:
        out.text += "{ "
        for position, name in enumerate(draw(st.lists(NAMES, max_size=3, unique=True))):
            out.text += ", " if position else ""
            write_pair(draw, out, path, name, depth - 1)
        out.text += " }"


def write_pair(draw: st.DrawFn, out: Writer, table: Path, name: str, depth: int) -> None:
    """Write `name = value`, or `name.inner = value`."""
    names = [name, *draw(st.lists(NAMES, max_size=2 if depth else 0))]
    for end in range(1, len(names) + 1):
        out.lines[(*table, *names[:end])] = out.line
    out.keys(draw, names)
    out.text += draw(st.sampled_from([" = ", "=", "\t= "]))
    write_value(draw, out, (*table, *names), depth)


def write_table(draw: st.DrawFn, out: Writer, path: Path, header: list[str], depth: int) -> None:
    """Write the keys of a table, then its inner tables, each with a header of its own."""
    names = draw(st.lists(NAMES, max_size=4, unique=True))
    cut = draw(st.integers(0, len(names))) if depth else len(names)
    for name in names[:cut]:
        out.text += draw(st.sampled_from(["", "  ", "\n", "# [x]\n"]))
        write_pair(draw, out, path, name, 2)
        out.text += draw(st.sampled_from(["\n", "  # y = 1\n"]))
    for name in names[cut:]:
        inner = (*path, name)
        is_list = draw(st.booleans())
        for position in range(draw(st.integers(1, 2)) if is_list else 1):
            out.text += draw(st.sampled_from(["", "\n", "# z = 1\n", " "]))
            out.lines.setdefault(inner, out.line)
            target = (*inner, position) if is_list else inner
            out.lines[target] = out.line
            out.text += "[[" if is_list else "["
            out.keys(draw, [*header, name])
            out.text += ("]]" if is_list else "]") + "\n"
            write_table(draw, out, target, [*header, name], depth - 1)


@st.composite
def documents(draw: st.DrawFn) -> Writer:
    out = Writer()
    write_table(draw, out, (), [], 2)
    return out


@given(documents())
def test_generated_documents_have_each_key_on_its_line(document: Writer) -> None:
    assert paths_of(tomllib.loads(document.text)) == set(document.lines)
    assert locate(document.text) == document.lines
