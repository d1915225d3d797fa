"""An installation that builds a real image of Debian from a recipe that a test gives."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.system.line import Line, keep_in_cache, state_folder
from tests.worlds.commands import command_line
from tests.worlds.repos import changelog, commit

from distwright.store.paths import StatePaths

TOOLS = (
    "squashfs-tools", "dosfstools", "mtools", "grub-common", "grub-pc-bin", "grub-efi-amd64-signed", "shim-signed", "xorriso",
)  # fmt: skip
CONFIG = """\
format = 1
[site]
name = "Small"
[archive.debian]
kind = "upstream"
suites = ["bookworm"]
keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
origin = "Debian"
label = "Debian"
[environment.image-tools]
from = ["debian/bookworm"]
variant = "minbase"
include = {tools}
[repo.{name}]
[image.{name}]
repo = "{name}"
recipe = "image"
from = ["debian/bookworm"]
tools = "image-tools"
rebuild = false
"""


@dataclass(frozen=True)
class Imaging:
    """The installation. folder: where its state is, and what else a test puts there."""

    line: Line
    folder: Path
    timeout_s: float

    def run(self, *words: str) -> tuple[int, str]:
        """Run a command that builds; give its exit code and all that it said."""
        done = self.line.call(*words, "--state", str(self.line.state), timeout_s=self.timeout_s)
        return done.returncode, done.stdout + done.stderr

    def must(self, *words: str) -> None:
        """Run commands that have to go well."""
        exit_code, said = self.run(*words)
        assert exit_code == 0, said[-4000:]

    def row(self) -> dict[str, Any]:
        """What `image list` says of the only image."""
        [row] = self.line.answer("image", "list")
        return dict(row)

    def published(self, pattern: str) -> Path:
        """Give the one published file of the image whose name fits."""
        [path] = Path(self.row()["files"]).glob(pattern)
        return path


def small_config(name: str, more: str, tools: Sequence[str] = TOOLS) -> str:
    """Write tables for an image of Debian's main suite. more: what else its table says, and other tables."""
    return CONFIG.format(name=name, tools=list(tools)) + more


@contextmanager
def imaging(
    name: str, files: Mapping[str, str | bytes], config: str, *, archives: Sequence[str] = ("debian",), timeout_s: float = 1500
) -> Iterator[Imaging]:  # fmt: skip
    """Make the installation, with Debian recorded, and the recipe pushed. files: of the repo, beside debian/changelog."""
    with state_folder() as folder:
        command_line(folder, config, keys=("image",))
        made = Imaging(Line(folder / "state"), folder, timeout_s)
        commit(StatePaths(made.line.state), name, {"debian/changelog": changelog(name), **files})
        for archive in archives:
            made.must("archive", "record", archive)
        yield made
        keep_in_cache(made.line.state)
