"""`distwright image import`: a tree of live-build becomes a recipe and tables."""

from pathlib import Path

import click

from distwright.cli.options import json_option, print_json, print_rows, say
from distwright.images.from_live_build import from_live_build, summary
from distwright.images.live_build_tree import read_tree
from distwright.images.live_build_variables import Notice, Verdict
from distwright.images.live_build_writing import RECIPES, write_import
from distwright.model.digests import Json
from distwright.model.names import our_name


@click.command("import")
@click.argument("tree", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--into",
    "folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The top of the repository: images/NAME, distwright.d/NAME.toml and keys/ are written there.",
)
@click.option("--name", default="", help="What the image is called (default: LB_IMAGE_NAME).")
@click.option("--dry-run", is_flag=True, help="Say what becomes of everything, write nothing.")
@json_option
def import_image(tree: Path, folder: Path, name: str, dry_run: bool, as_json: bool) -> None:
    """Make the recipe of an image, and its tables, from TREE: the folder in which `lb build` is called.

    Nothing of TREE is run or changed. Says of each file and each LB_ variable whether it is honoured, and what to do if it is not.
    All of it is written, or nothing.

    Exit codes: 0 written (whatever is not honoured is named), 3 there is something else of that name, or
    TREE has too many files, 10 TREE has no config/, 11 another import writes there, 12 not to be read or written, 20 no space.
    """
    imported = from_live_build(read_tree(tree), our_name(name, "image") if name else "", f"{RECIPES}/NAME")
    written: dict[str, Json] = {"image": imported.name, "recipe": None, "tables": None}
    if not dry_run:
        recipe, tables = write_import(folder, imported)
        written |= {"recipe": str(recipe), "tables": str(tables)}
    if as_json:
        print_json({**written, "notices": [_row(notice) for notice in imported.notices]})
    else:
        rows = sorted(summary(imported.notices), key=lambda notice: notice.verdict is Verdict.NOT_HONOURED)
        print_rows(
            [{key: _on_one_line(str(text)) for key, text in _row(notice).items()} for notice in rows],
            ("what", "verdict", "how"),
            as_json=False,
            empty="the tree is empty",
        )
    lost = sum(notice.verdict is Verdict.NOT_HONOURED for notice in imported.notices)
    say(f"{imported.name}: {lost} things are not honoured" + ("" if dry_run else f"; written: {recipe}, {tables}"))
    if not dry_run and not (folder / "debian" / "changelog").is_file():
        say(
            "an image has its version and time from debian/changelog, which is not there yet: mkdir -p debian && "
            f"dch --create --package {imported.name} --newversion 1.0 --distribution UNRELEASED 'Moved in from live-build.'"
        )


def _on_one_line(text: str) -> str:
    """Write out what would part or change lines: a file of the tree may be called anything."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def _row(notice: Notice) -> dict[str, Json]:
    return {"what": notice.what, "verdict": str(notice.verdict), "how": notice.how}
