"""What a commit says in `config/` counts only as plain files in plain folders: anything else there would say nothing, silently."""

from collections.abc import Mapping
from pathlib import Path

from distwright.errors import BadInput, listed, quoted
from distwright.tools.git import modes_at

FILE, FOLDER = "a file", "a folder"
_IS: Mapping[str, str] = {
    "100644": FILE, "100755": FILE, "120000": "a symlink", "040000": FOLDER, "160000": "a submodule",
}  # fmt: skip


def refuse_unplain(where: Path, commit: str, wanted: Mapping[str, str]) -> None:
    """Raise BadInput, with all their names, for paths that are there and are not what they have to be. One process.

    wanted: path -> FILE or FOLDER; name the folders above a path, too.
    """
    found = {path: _IS.get(mode, f"of mode {mode}") for path, mode in modes_at(where, commit, sorted(wanted)).items()}
    wrong = {path: kind for path, kind in found.items() if kind != wanted[path]}
    if wrong:
        names = listed(f"{quoted(path)} is {kind} and not {wanted[path]}" for path, kind in sorted(wrong.items()))
        raise BadInput(
            f"commit {commit[:12]} of {where.stem} has settings that are not plain:\n{names}",
            hint=f"git rm {sorted(wrong)[0]}, and write it as {wanted[sorted(wrong)[0]]}",
        )
