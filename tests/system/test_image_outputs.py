"""What comes out of an image build beside the ISO, made by the real programs on small trees."""

import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from distwright.images.copyrights import COLLECT, read_copyrights

pytestmark = pytest.mark.system
EPOCH = 1_704_888_000


def run_script(folder: Path, text: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a script of ours as a runner does: in its folder, with nothing but what is said."""
    script = folder / "script.sh"
    script.write_text(text)
    script.chmod(0o755)
    environment: Mapping[str, str] = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC", "SOURCE_DATE_EPOCH": str(EPOCH), **more,
    }  # fmt: skip
    return subprocess.run(
        [str(script)],
        cwd=folder,
        env=environment,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_copyright_files_of_what_is_installed_are_collected_and_read(tmp_path: Path) -> None:
    """This machine stands for the image: it is a Debian with links among its copyright files."""
    tars = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir(mode=0o700 if name == "one" else 0o755)
        ended = run_script(folder, COLLECT)
        assert (ended.returncode, ended.stdout) == (0, "")
        tars.append((folder / "copyrights.tar").read_bytes())
    assert tars[0] == tars[1]
    with (tmp_path / "one" / "copyrights.tar").open("rb") as file:
        found = read_copyrights(file)
    with tarfile.open(tmp_path / "one" / "copyrights.tar") as tar:
        members = {member.name: member for member in tar}
    assert list(members) == sorted(members)
    assert {(one.mtime, one.uid, one.gid, one.mode, one.type) for one in members.values()} == {
        (EPOCH, 0, 0, 0o644, tarfile.REGTYPE)
    }
    assert {"dpkg", "libc6"} <= set(found)
    assert any(Path("/", name).is_symlink() or Path("/", name).parent.is_symlink() for name in members)
    assert found["adduser"] is not None
