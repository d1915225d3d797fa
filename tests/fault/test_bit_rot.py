"""A bit that a disk has changed, wherever: nothing new is made of it, fsck names it and says what helps, and it is mended."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from tests.worlds.apt import make_apt
from tests.worlds.archive import signer
from tests.worlds.client import SeenSuite, see_suite
from tests.worlds.trials import Ground, Trial

from distwright.app import App
from distwright.archive.snapshots import parse_snapshot
from distwright.archive.tree import parse_root
from distwright.model.digests import Sha256
from distwright.store.archives import list_snapshots, live_publication
from distwright.store.suites import get_suite

pytestmark = pytest.mark.system


@pytest.fixture
def trial(ground: Ground, tmp_path: Path) -> Trial:
    return ground.copy(tmp_path / "trial")


def flip(file: Path) -> None:
    """Change one bit in the middle of a file, without its times."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    mode = file.stat().st_mode
    file.chmod(0o644)
    with file.open("r+b") as opened:
        opened.write(content)
    file.chmod(mode)


def revision(app: App) -> Sha256:
    with app.database.read() as tx:
        return get_suite(tx, "petrel", "devel").revision


def leaf(app: App) -> Sha256:
    return parse_root(app.objects.read(revision(app))).lists["main/binary-amd64"][0].digest


def publication(app: App) -> Sha256:
    with app.database.read() as tx:
        live = live_publication(tx, "petrel", "devel")
    assert live is not None
    return live.tree


def index_set(app: App) -> Sha256:
    return Sha256(json.loads(app.objects.read(publication(app)))["indexes"])


def file_named(name: str) -> Callable[[App], Sha256]:
    def find(app: App) -> Sha256:
        return Sha256(json.loads(app.objects.read(publication(app)))["files"][name])

    return find


def pool_file(ending: str) -> Callable[[App], Sha256]:
    def find(app: App) -> Sha256:
        place = next((app.paths.public / "petrel/pool").rglob(f"hello_1.1*{ending}"))
        return next(digest for digest in app.objects.digests() if app.objects.is_placed(digest, place))

    return find


def patch(app: App) -> Sha256:
    files = json.loads(app.objects.read(publication(app)))["files"]
    return Sha256(next(digest for path, digest in files.items() if ".diff/T-" in path))


CONTENT: Mapping[str, Callable[[App], Sha256]] = {"leaf": leaf, "root of the tree": revision}
MADE: Mapping[str, Callable[[App], Sha256]] = {
    "xz index": file_named("main/binary-amd64/Packages.xz"),
    "zst index": file_named("main/source/Sources.zst"),
    "contents": file_named("main/Contents-amd64.gz"),
    "patch": patch,
    "index of patches": file_named("main/binary-amd64/Packages.diff/Index"),
    "index set": index_set,
    "publication": publication,
    "InRelease": file_named("InRelease"),
    "Release": file_named("Release"),
    "signature": file_named("Release.gpg"),
}
REPAIR = "distwright archive fsck --repair"
INDEXES = ("xz index", "zst index", "contents", "index of patches")  # made with the same bytes again
PACKAGES: Mapping[str, Callable[[App], Sha256]] = {"deb": pool_file(".deb"), "dsc": pool_file(".dsc")}


def rot(trial: Trial, find: Callable[[App], Sha256]) -> Sha256:
    with trial.opened() as app:
        digest = find(app)
        flip(app.objects.local_path(digest))
    return digest


def seen(trial: Trial) -> SeenSuite:
    return see_suite(trial.archive, "devel", signer("petrel").certificate())


def assert_named(trial: Trial, digest: Sha256) -> None:
    """Look, without mending: it is named, with the first thing to type."""
    ended = trial.run("archive", "fsck", "--json")
    assert ended.exit_code == 1, ended.stdout + ended.stderr
    assert {row["hint"] for row in json.loads(ended.stdout)["left"] if row["digest"] == digest} == {REPAIR}


def assert_left(trial: Trial, digest: Sha256, hint: str) -> None:
    """Mend what can be mended: this cannot, and what else helps is said."""
    ended = trial.run("archive", "fsck", "--repair", "--json")
    assert ended.exit_code == 1, ended.stdout + ended.stderr
    [said] = {row["hint"] for row in json.loads(ended.stdout)["left"] if row["digest"] == digest}
    assert said.startswith(hint), said


def assert_mended_from_a_copy(trial: Trial, ground: Ground) -> None:
    trial.done("archive", "fsck", "--repair", "--from", str(ground.folder / "state"))
    assert trial.done("archive", "fsck") == "all is well\n"
    assert trial.packages()["dists/devel"] == ["hello 1.1"]


@pytest.mark.parametrize("kind", CONTENT)
def test_nothing_is_made_of_a_damaged_state_and_it_comes_back_from_a_copy(
    trial: Trial, ground: Ground, kind: str
) -> None:
    before = trial.packages()
    digest = rot(trial, CONTENT[kind])
    for words in (
        ("suite", "publish", "devel", "--again"),
        ("suite", "add", "devel", "new"),
        ("suite", "remove", "devel", "hello"),
    ):
        ended = trial.run(*words)
        assert (ended.exit_code, f"object {digest} has rotted" in ended.stderr) == (10, True), (words, ended)
    assert_named(trial, digest)
    assert_left(trial, digest, f"{REPAIR} --from DIR|URL")
    assert trial.packages() == before
    collected = trial.run("archive", "collect", "--apply")
    assert f"object {digest} has rotted" in collected.stderr, "what it names now may not be what it must keep"
    assert_mended_from_a_copy(trial, ground)
    trial.done("suite", "add", "devel", "new", "--publish")
    assert trial.packages()["dists/devel"] == ["hello 1.2", "skua 1.0", "tern 1.0"]


@pytest.mark.parametrize("kind", MADE)
def test_what_was_made_is_named_with_the_command_that_makes_it_again(trial: Trial, kind: str) -> None:
    digest = rot(trial, MADE[kind])
    assert_named(trial, digest)
    if kind not in INDEXES:
        assert_left(trial, digest, "distwright suite publish petrel/devel --again")
    trial.done("suite", "publish", "devel", "--again")
    assert seen(trial).packages == ["hello 1.1"]
    trial.run("archive", "fsck", "--repair")  # a snapshot may serve the same file by another name
    trial.done("suite", "add", "devel", "new", "--publish")
    assert trial.packages()["dists/devel"] == ["hello 1.2", "skua 1.0", "tern 1.0"]
    if kind in INDEXES:
        assert trial.done("archive", "fsck") == "all is well\n"
    else:
        assert_left(trial, digest, "distwright archive collect --apply: it goes a week after it was served last")


@pytest.mark.parametrize("kind", ["xz index", "contents", "index set", "patch", "InRelease"])
def test_repair_makes_indexes_again_without_a_copy_and_takes_the_rest_from_one(
    trial: Trial, ground: Ground, kind: str
) -> None:
    rot(trial, MADE[kind])
    alone = trial.run("archive", "fsck", "--repair")
    assert alone.exit_code == (0 if ("index" in kind and kind != "index set") or kind == "contents" else 1), alone
    assert_mended_from_a_copy(trial, ground)


@pytest.mark.parametrize("kind", PACKAGES)
def test_a_damaged_package_is_refused_by_apt_named_by_fsck_and_comes_back_from_a_copy(
    trial: Trial, ground: Ground, tmp_path: Path, kind: str
) -> None:
    digest = rot(trial, PACKAGES[kind])
    apt = make_apt(tmp_path / "apt", f"file:{trial.archive}", signer("petrel").certificate())
    words = ("apt-get", "download", "hello") if kind == "deb" else ("apt-get", "source", "--download-only", "hello")
    assert apt.update().exit_code == 0
    refused = apt.run(*words)
    assert refused.exit_code == 100
    assert "Hash Sum mismatch" in refused.stderr
    assert_named(trial, digest)
    assert_left(trial, digest, f"{REPAIR} --from DIR|URL")
    trial.done("suite", "publish", "devel", "--again")
    assert_mended_from_a_copy(trial, ground)
    assert apt.run(*words).exit_code == 0


@pytest.mark.parametrize("cache", ["pieces", "contents/names", "contents/runs"])
def test_what_is_derived_is_made_again_if_it_is_damaged_or_cut_off(trial: Trial, cache: str) -> None:
    before = {link: seen.indexes for link, seen in trial.served().items()}
    files = sorted((trial.root / "cache" / cache).glob("??/*"))
    assert len(files) > 1
    for number, file in enumerate(files):
        if number % 2:
            flip(file)
        else:
            file.write_bytes(file.read_bytes()[:-5])
    if cache == "contents/names":
        shutil.rmtree(trial.root / "cache" / "contents" / "runs")
    trial.done("suite", "publish", "devel", "topic", "--again")
    after = {link: seen.indexes for link, seen in trial.served().items()}
    assert without_patches(after) == without_patches(before)
    assert trial.damages() == []


def without_patches(seen: Mapping[str, Mapping[str, bytes]]) -> dict[str, dict[str, bytes]]:
    return {link: {path: text for path, text in one.items() if ".diff/" not in path} for link, one in seen.items()}


def test_a_damaged_page_of_the_database_is_named(trial: Trial) -> None:
    file = trial.root / "db.sqlite"
    content = bytearray(file.read_bytes())
    place = content.rindex(b"publication ")  # in a row, or in its index: they do not agree any more
    content[place] ^= 4
    file.write_bytes(content)
    ended = trial.run("archive", "fsck")
    assert ended.exit_code == 1, ended
    assert f"{file}: " in ended.stdout.replace("state/db.sqlite", str(file))
    assert "  try: restore it from a backup" in ended.stdout


def test_a_damaged_index_of_a_recorded_archive_comes_back_from_its_mirror(trial: Trial) -> None:
    with trial.opened() as app:
        with app.database.read() as tx:
            [row] = list_snapshots(tx, "debian")
        index = next(
            index
            for index in parse_snapshot(app.objects.read(row.digest)).suites["stable"].indexes
            if "binary-amd64/Packages" in index.path
        )
        flip(app.objects.local_path(index.sha256))
    before = trial.run("archive", "fsck")
    assert (before.exit_code, f"{index.path} of debian: its bytes have changed" in before.stdout) == (1, True)
    trial.done("archive", "fsck", "--repair")
    assert trial.done("archive", "fsck") == "all is well\n"
    assert list(trial.recorded()) == [row.serial]
