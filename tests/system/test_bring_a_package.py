"""Packages brought from a gbp repository and as a .dsc: from the command to the suite that apt would read."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent

import pytest
from tests.system.line import Line, keep_in_cache, state_folder
from tests.worlds.keys import signer
from tests.worlds.layouts import native, quilt, with_pristine_tar

from distwright.app import open_app
from distwright.signing.signer import make_key
from distwright.site.applied import apply_config

pytestmark = [pytest.mark.system, pytest.mark.full]
CONFIG = dedent("""\
    format = 1
    [site]
    name = "Petrel"
    [archive.debian]
    kind = "upstream"
    suites = ["bookworm"]
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    origin = "Debian"
    label = "Debian"
    [archive.petrel]
    kind = "own"
    origin = "Petrel"
    label = "Petrel"
    key = { credential = "petrel" }
    [suite.devel]
    archive = "petrel"
    [suite.old]
    archive = "petrel"
    [environment.build]
    from = ["debian/bookworm"]
    include = ["debhelper", "fakeroot"]
    [repo.greet]
    package = true
    suite = "devel"
    environment = "build"
    """)


@dataclass(frozen=True)
class Place:
    """An installation with Debian recorded."""

    line: Line

    def built(self, *words: str) -> str:
        """Build; give what was said."""
        done = self.line.call("package", "build", *words, "--state", str(self.line.state), timeout_s=900)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def shown(self, suite: str) -> list[tuple[str, str, str]]:
        """List what a suite has."""
        rows = self.line.answer("suite", "show", suite)
        return [(row["list"], row["package"], row["version"]) for row in rows]

    @property
    def pool(self) -> Path:
        """Where the packages are served from."""
        return self.line.state / "public" / "petrel" / "pool" / "main" / "g" / "greet"


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with state_folder() as folder:
        app = open_app(str(folder / "state"), create=True)
        for credential in ("petrel", "builder"):
            make_key(app.paths.key(credential), credential)
        apply_config(
            {"distwright.toml": CONFIG}, {}, "0" * 40,
            database=app.database, objects=app.objects, paths=app.paths, now=datetime.now(UTC),
        )  # fmt: skip
        app.database.close()
        line = Line(folder / "state")
        done = line.call("archive", "record", "debian", "--state", str(line.state), timeout_s=600)
        assert done.returncode == 0, done.stderr
        yield Place(line)
        keep_in_cache(line.state)


def pushed(place: Place, folder: Path) -> dict[str, bytes]:
    """Push a gbp repository, by which the hook hears of its tags; give upstream's tarballs."""
    line = place.line
    line.call("worker", "--until-idle", "--state", str(line.state))  # makes the repo
    tree = quilt(folder / "tree")
    originals = with_pristine_tar(tree, folder, "greet_1.0.orig.tar.gz", "greet_1.0.orig-extra.tar.xz")
    tree.push(line.state / "repos" / "greet.git")
    return originals


def test_a_gbp_repository_is_built_and_its_next_commit_upgrades_it(place: Place, tmp_path: Path) -> None:
    originals = pushed(place, tmp_path)
    place.built("greet", "--ref", "main")
    ((_, _, first), *_) = shown = place.shown("devel")
    assert [row[:2] for row in shown] == [("main/binary-all", "greet"), ("main/source", "greet")]
    assert {name: (place.pool / name).read_bytes() for name in originals} == originals
    assert json.loads(json.dumps(place.line.answer("event", "list"))) == [], "upstream's tag is no trouble"
    tree = tmp_path / "tree"
    (tree / "debian" / "README.Debian").write_text("Read it.\n")
    for words in (
        ["add", "--all"],
        ["-c", "user.name=Ada", "-c", "user.email=a@example.org", "commit", "--quiet", "--message", "More"],
    ):
        subprocess.run(["git", *words], cwd=tree, check=True)
    subprocess.run(
        ["git", "push", "--quiet", str(place.line.state / "repos" / "greet.git"), "main"], cwd=tree, check=True
    )
    place.built("greet", "--ref", "main")
    (_, _, second) = place.shown("devel")[0]
    assert subprocess.run(["dpkg", "--compare-versions", first, "lt", second], check=False).returncode == 0
    assert second.startswith("1.0-1~00003.g")


def test_a_dsc_brings_its_source_and_packages_to_the_suite_that_is_named(place: Place, tmp_path: Path) -> None:
    native(tmp_path / "greet-1.1")
    subprocess.run(["dpkg-source", "--build", "greet-1.1"], cwd=tmp_path, capture_output=True, check=True)
    dsc = tmp_path / "greet_1.1.dsc"
    unsigned = dsc.read_bytes()
    dsc.write_bytes(signer("uploader").sign_clear(unsigned))
    (tmp_path / "ada.asc").write_bytes(signer("uploader").certificate())
    said = place.built("--dsc", str(dsc), "--keyring", str(tmp_path / "ada.asc"), "--suite", "old")
    assert "greet_1.1.dsc is signed by" in said
    assert place.shown("old") == [("main/binary-all", "greet", "1.1"), ("main/source", "greet", "1.1")]
    assert (place.pool / "greet_1.1.dsc").read_bytes() == unsigned
    assert (place.pool / "greet_1.1.tar.xz").read_bytes() == (tmp_path / "greet_1.1.tar.xz").read_bytes()
