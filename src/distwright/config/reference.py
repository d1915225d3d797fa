"""Write the settings reference and the commented example from the classes of the tables, so that they cannot drift."""

import textwrap
from collections.abc import Iterator

from distwright.config.model import FORMAT, NOT_YET, TABLES
from distwright.config.problems import one_of
from distwright.config.tables_archive import Table
from distwright.config.words import Setting, settings_of, toml_value

_EXAMPLE_NAMES = {
    "upstream": "debian",
    "own": "ours",
    "suite": "next",
    "repo": "live",
    "environment": "build",
    "image": "example",
    "person": "ada",
    "upload": "ada",
    "host": "anvil",
    "pool": "cloud",
}

_REFERENCE_HEAD = f"""\
# Settings

Made from the classes in `distwright.config`; change them, not this page.

The configuration is one TOML file, or several in a folder. At least one of them says `format = {FORMAT}`; each table
stands in one of them. Names of tables have 1 to 64 of `a-z 0-9 . _ + -` and begin with a letter or digit. A secret
never stands here: write `{{ credential = "name" }}`. [distwright.example.toml](distwright.example.toml) shows every
setting at its default.
"""

_EXAMPLE_HEAD = f"""\
# Every setting of distwright. A line that begins with '#' and a key may be left out: it shows the default,
# or an example where there is no default. Made from the classes in distwright.config; change them, not this file.

format = {FORMAT}
"""


def settings_reference() -> str:
    """Give the page of all settings, as Markdown."""
    parts = [_REFERENCE_HEAD]
    for table, kind, model in _classes():
        header = "[site]" if table == "site" else f"[{table}.NAME]"
        with_kind = f" with `kind = {toml_value(kind)}`" if kind else ""
        rows = [_row(setting) for setting in settings_of(model).values()]
        parts.append(
            f"## `{header}`{with_kind}\n\n{_first_line(model)}\n\n"
            "| key | wants | default | meaning |\n|---|---|---|---|\n" + "".join(rows)
        )
    not_yet = one_of([f"`[{name}.NAME]`" for name in NOT_YET], last="and")
    parts.append(
        f"## Without settings in this version\n\n{not_yet} are known names that are refused until they have settings.\n"
    )
    return "\n".join(parts)


def example_toml() -> str:
    """Give an example that parses without a problem: required settings set, all others as comments."""
    parts = [_EXAMPLE_HEAD]
    for table, kind, model in _classes():
        name = _EXAMPLE_NAMES.get(kind or table)
        lines = [f"# {_first_line(model)}", f"[{table}.{name}]" if name else f"[{table}]"]
        for setting in settings_of(model).values():
            lines += textwrap.wrap(setting.description, 100, initial_indent="# ", subsequent_indent="# ")
            lines.append(_example_line(setting))
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _classes() -> Iterator[tuple[str, str | None, type[Table]]]:
    for table, kinds in TABLES.items():
        for kind, model in kinds.items():
            yield table, kind, model


def _first_line(model: type[Table]) -> str:
    return (model.__doc__ or "").partition("\n")[0]


def _row(setting: Setting) -> str:
    cells = (f"`{setting.key}`", setting.in_words, _default(setting), setting.description)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _default(setting: Setting) -> str:
    if setting.required:
        return "required"
    return "unset" if setting.default is None else f"`{toml_value(setting.default)}`"


def _example_line(setting: Setting) -> str:
    if setting.required:
        return f"{setting.key} = {toml_value(setting.example)}"
    shown = setting.default if setting.default not in (None, ()) else setting.example
    return f"#{setting.key} = {toml_value(shown)}"
