"""A source that somebody uploads without packages is built here, by sbuild, and its packages come into the suite."""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from textwrap import dedent

import pytest
from tests.system.line import Line, keep_in_cache, state_folder
from tests.worlds.archive import signer

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
    environment = "build"
    [environment.build]
    from = ["debian/bookworm"]
    include = ["debhelper", "fakeroot"]
    [upload.ada]
    keyring = "ada.asc"
    suites = ["devel"]
    binaries = false
    """)
FILES = {
    "debian/control": """\
        Source: greeting
        Section: misc
        Priority: optional
        Maintainer: Ada Example <ada@example.org>
        Build-Depends: debhelper-compat (= 13)
        Standards-Version: 4.6.2
        Rules-Requires-Root: no

        Package: greeting
        Architecture: any
        Depends: greeting-data (= ${source:Version}), ${misc:Depends}
        Description: greets
         It exists to be built.

        Package: greeting-data
        Architecture: all
        Depends: ${misc:Depends}
        Description: what it greets with
         It exists to be built.
        """,
    "debian/rules": "#!/usr/bin/make -f\n%:\n\tdh $@\n",
    "debian/source/format": "3.0 (native)\n",
    "debian/copyright": "Nobody claims copyright.\n",
    "debian/greeting-data.install": "greeting.txt usr/share/greeting\n",
    "greeting.txt": "hello\n",
}


@pytest.fixture
def line() -> Iterator[Line]:
    """Give an installation that takes sources of ada for devel, and says where they are built."""
    with state_folder() as folder:
        app = open_app(str(folder / "state"), create=True)
        make_key(app.paths.key("petrel"), "petrel")
        make_key(app.paths.key("builder"), "builder")
        apply_config(
            {"distwright.toml": CONFIG}, {"ada.asc": signer("uploader").certificate()}, "0" * 40,
            database=app.database, objects=app.objects, paths=app.paths, now=datetime.now(UTC),
        )  # fmt: skip
        app.database.close()
        line = Line(folder / "state")
        yield line
        keep_in_cache(line.state)


def signed_source(folder: Path) -> Path:
    """Make the source as its maintainer does, and sign its .changes; give that."""
    tree = folder / "greeting-1.0"
    by = f"Ada Example <ada@example.org>  {format_datetime(datetime.now(UTC))}"
    changelog = f"greeting (1.0) devel; urgency=medium\n\n  * New.\n\n -- {by}\n"
    for path, text in {**FILES, "debian/changelog": changelog}.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(dedent(text))
    (tree / "debian" / "rules").chmod(0o755)
    argv = ["dpkg-buildpackage", "--build=source", "--no-pre-clean", "--no-check-builddeps", "--no-sign"]
    subprocess.run(argv, cwd=tree, capture_output=True, check=True)
    changes = folder / "greeting_1.0_source.changes"
    changes.write_bytes(signer("uploader").sign_clear(changes.read_bytes()))
    return changes


def test_an_uploaded_source_is_built_and_its_packages_are_served(line: Line, tmp_path: Path) -> None:
    state = ("--state", str(line.state))
    done = line.call("archive", "record", "debian", *state, timeout_s=600)
    assert done.returncode == 0, done.stderr
    changes = signed_source(tmp_path)
    dsc = (tmp_path / "greeting_1.0.dsc").read_bytes()
    done = line.call("upload", "file", str(changes), *state, timeout_s=900)
    assert done.returncode == 0, done.stderr
    line.call("worker", "--until-idle", *state, timeout_s=900)
    kinds = {job["kind"]: job["state"] for job in line.answer("job", "list")}
    assert kinds["package.build"] == "ok", line.answer("job", "list")
    shown = [(row["list"], row["package"], row["version"]) for row in line.answer("suite", "show", "devel")]
    assert shown == [
        ("main/binary-all", "greeting-data", "1.0"),
        ("main/binary-amd64", "greeting", "1.0"),
        ("main/source", "greeting", "1.0"),
    ]
    pool = line.state / "public" / "petrel" / "pool" / "main" / "g" / "greeting"
    assert (pool / "greeting_1.0.dsc").read_bytes() == dsc, "it stays as its maintainer made it"
    assert sorted(path.name for path in pool.iterdir()) == [
        "greeting-data_1.0_all.deb", "greeting_1.0.dsc", "greeting_1.0.tar.xz", "greeting_1.0_amd64.deb",
    ]  # fmt: skip
    assert all(result == "ok" for result in kinds.values()), kinds
