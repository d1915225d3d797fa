"""The upload queue: whatever way an upload comes, whole ones become jobs, once, and their senders are told."""

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.worlds.archive import make_deb, make_source, make_upload
from tests.worlds.keys import signer
from tests.worlds.queue import QueueWorld, queue_world, upload_of

from distwright.archive import incoming
from distwright.errors import BadInput, NotAllowed, NotFound
from distwright.model import plain
from distwright.model.digests import Sha256

ADA = "uploads/ada"


@pytest.fixture
def world(tmp_path: Path) -> QueueWorld:
    return queue_world(tmp_path)


def left(folder: Path) -> list[str]:
    """List the files of a folder, but for what tells of verdicts."""
    names = (str(place.relative_to(folder)) for place in folder.rglob("*") if place.is_file())
    return sorted(name for name in names if not name.startswith(("rejected/", "accepted/")))


def test_a_file_with_what_lies_beside_it_becomes_a_job_with_a_verdict(world: QueueWorld, tmp_path: Path) -> None:
    job = world.queue.from_file(world.put(tmp_path / "out", upload_of()), "")
    status = world.queue.status(job.id)
    assert (status["result"], status["way"], status["suite"]) == ("waiting", "command", "petrel/devel")
    assert world.run() == ["ok"]
    status = world.queue.status(job.id)
    assert (status["result"], status["source"], status["version"], status["problems"]) == (
        "accepted",
        "greeter",
        "1.0",
        [],
    )


def test_a_rejected_upload_says_everything_and_may_come_again(world: QueueWorld, tmp_path: Path) -> None:
    upload = make_upload(make_source("greeter"), make_deb("greeter"), distribution="stable", fields={"Binary": "other"})
    place = world.put(tmp_path / "out", upload)
    job = world.queue.from_file(place, "devel")
    assert world.run() == ["failed"]
    status = world.queue.status(job.id)
    assert status["result"] == "rejected"
    names = [line.partition(":")[0] for line in plain.texts(status, "problems")]
    assert names == ["is-for-this-suite", "names-are-announced"]
    place.touch()
    assert world.queue.from_file(place, "devel").id != job.id


def test_what_names_no_suite_of_ours_or_lacks_a_file_is_told_at_once(world: QueueWorld, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no suite 'stable'"):
        world.queue.from_file(world.put(tmp_path / "a", make_upload(make_source("xx"), distribution="stable")), "")
    place = world.put(tmp_path / "b", upload_of())
    (tmp_path / "b" / "greeter_1.0_amd64.deb").unlink()
    with pytest.raises(NotFound, match=r"greeter_1\.0_amd64\.changes lacks greeter_1\.0_amd64\.deb"):
        world.queue.from_file(place, "")
    place.write_bytes(b"nothing")
    with pytest.raises(BadInput):
        world.queue.from_file(place, "")


def test_a_dropped_upload_is_taken_when_it_is_whole_and_its_sender_is_told(world: QueueWorld) -> None:
    world.put(world.drop, upload_of())
    assert world.queue.take_in() == 1
    assert [name for name in left(world.drop) if not name.startswith(".taken/")] == []
    assert world.run() == ["ok"]
    assert world.queue.take_in() == 0
    assert left(world.drop) == []
    told = json.loads((world.drop / "accepted/greeter_1.0_amd64.changes.json").read_text())
    assert (told["result"], told["upload"], told["way"]) == ("accepted", 1, "drop")


def test_a_rejected_upload_lies_readable_with_its_reasons(world: QueueWorld) -> None:
    upload = make_upload(make_source("greeter"), make_deb("greeter"), fields={"Binary": "other"})
    world.put(world.drop, upload)
    world.queue.take_in()
    assert world.run() == ["failed"]
    world.queue.take_in()
    assert left(world.drop) == []
    [place] = (world.drop / "rejected").iterdir()
    assert {file.name: file.read_bytes() for file in place.iterdir() if file.name != "status.json"} == {
        **upload.files, upload.changes_name: upload.changes,
    }  # fmt: skip
    assert json.loads((place / "status.json").read_text())["problems"] == [
        "names-are-announced: greeter_1.0_amd64.deb is not among the Binary packages of .changes"
    ]
    assert place.stat().st_mode & 0o777 == 0o755
    assert (place / "status.json").stat().st_mode & 0o444 == 0o444


def test_an_upload_that_is_still_arriving_waits_byte_for_byte(world: QueueWorld) -> None:
    upload = upload_of()
    world.put(world.drop, upload)
    deb = world.drop / "greeter_1.0_amd64.deb"
    for length in (0, 1, len(upload.files[deb.name]) - 1):
        deb.write_bytes(upload.files[deb.name][:length])
        assert world.queue.take_in() == 0
    deb.unlink()
    assert world.queue.take_in() == 0
    deb.write_bytes(upload.files[deb.name])
    changes = world.drop / upload.changes_name
    changes.write_bytes(upload.changes[:100])
    assert world.queue.take_in() == 0
    changes.write_bytes(upload.changes)
    assert world.queue.take_in() == 1
    assert world.run() == ["ok"]


def test_two_uploads_may_share_the_tar_of_upstream(world: QueueWorld) -> None:
    """What the second lists stays when the first is taken."""
    first = upload_of()
    shared = {"greeter_1.0.tar.gz": first.files["greeter_1.0.tar.gz"]}
    second = make_upload(make_source("other"), make_deb("other"), more=shared)
    world.put(world.drop, first)
    world.put(world.drop, second)
    assert world.queue.take_in() == 2
    assert len(world.run()) == 2
    assert [name for name, _ in world.results()] == ["greeter_1.0_amd64.changes", "other_1.0_amd64.changes"]


def test_nothing_but_plain_files_is_read(world: QueueWorld, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(upload_of().files["greeter_1.0_amd64.deb"])
    world.put(world.drop, upload_of())
    deb = world.drop / "greeter_1.0_amd64.deb"
    deb.unlink()
    deb.symlink_to(tmp_path / "secret")
    assert world.queue.take_in() == 0
    deb.unlink()
    os.mkfifo(deb)
    assert world.queue.take_in() == 0
    (world.drop / "evil.changes").symlink_to(tmp_path / "secret")
    os.mkfifo(world.drop / "pipe.changes")
    assert world.queue.take_in() == 0


def test_what_never_becomes_whole_or_readable_is_put_away_in_the_end(
    world: QueueWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = world.put(world.drop, upload_of())
    (world.drop / "greeter_1.0_amd64.deb").unlink()
    (world.drop / "junk.changes").write_bytes(b"junk")
    (world.drop / "stray.deb").write_bytes(b"stray")
    monkeypatch.setattr(incoming, "PATIENCE_S", -1)
    monkeypatch.setattr(incoming, "SETTLE_S", -1)
    monkeypatch.setattr(incoming, "LEFT_S", -1)
    time.sleep(0.01)
    assert world.queue.take_in() == 0
    assert left(world.drop) == []
    told = [json.loads(status.read_text()) for status in sorted((world.drop / "rejected").glob("*/status.json"))]
    assert [row["name"] for row in told] == [place.name, "junk.changes"]
    assert "lacks greeter_1.0_amd64.deb" in told[0]["problems"][0]


def test_files_put_by_http_wait_for_their_changes_file(world: QueueWorld) -> None:
    place = world.put(world.queue.session("ada"), upload_of())
    job = world.queue.from_session("ada", place.name)
    assert world.queue.status(job.id)["by"] == "ada"
    assert world.run() == ["ok"]
    world.queue.take_in()
    assert left(world.context.paths.root / ADA) == []


def test_a_token_opens_only_to_its_name(world: QueueWorld) -> None:
    for name, token in (("ada", ""), ("ada", "\0"), ("eve", ""), ("eve", "x"), ("nobody", "x"), ("", "")):
        with pytest.raises(NotAllowed):
            world.queue.user_of(name, token)
    world.context.paths.token("upload-ada").write_text("secret\n")
    assert world.queue.user_of("ada", "secret") == "ada"
    for name, token in (("ada", "secre"), ("ada", "secret\n"), ("eve", "secret"), ("../ada", "secret")):
        with pytest.raises(NotAllowed):
            world.queue.user_of(name, token)


def test_the_key_of_another_grant_is_refused_in_this_suite(world: QueueWorld, tmp_path: Path) -> None:
    upload = make_upload(make_source("greeter"), make_deb("greeter"), by=signer("stranger"))
    job = world.queue.from_file(world.put(tmp_path / "out", upload), "")
    world.run()
    key = signer("stranger").fingerprints[0]
    assert world.queue.status(job.id)["problems"] == [f"may-upload: key {key} may not upload to devel"]


def test_uploads_wait_while_a_keyring_of_ours_is_gone(world: QueueWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(path: str) -> Sha256:
        raise NotFound(f"keyring {path} does not exist", hint="add it")

    monkeypatch.setattr(incoming, "SETTLE_S", -1)
    world.put(world.drop, upload_of())
    time.sleep(0.01)
    assert replace(world.queue, keyring=gone).take_in() == 0
    assert list((world.drop / "rejected").iterdir()) == []
    assert world.queue.take_in() == 1


def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything be late at the next look."""
    for name in ("PATIENCE_S", "SETTLE_S"):
        monkeypatch.setattr(incoming, name, -1)
    time.sleep(0.01)


@pytest.mark.parametrize("name", [".taken", "rejected", "accepted"])
@pytest.mark.parametrize("kind", ["link", "file", "folder of somebody else"])
def test_nothing_is_done_where_our_folders_are_not_ours(
    world: QueueWorld, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    keys, place = world.context.paths.keys, world.drop / name
    world.drop.mkdir(exist_ok=True)
    if kind == "link":
        place.symlink_to(keys)
    elif kind == "file":
        place.write_bytes(b"")
    elif os.geteuid():
        pytest.skip("only root can give a folder away")
    else:
        place.mkdir()
        os.chown(place, 65534, 65534)
    modes = keys.stat().st_mode, place.stat().st_mode
    late(monkeypatch)
    (world.drop / "junk.changes").write_bytes(b"junk")
    world.put(world.drop, upload_of())
    said: list[str] = []
    for _ in range(2):
        world.queue.take_in(said.append)
        world.run()
    assert any("is no folder of ours" in text for text in said), said
    assert ([*keys.iterdir()], (keys.stat().st_mode, place.stat().st_mode)) == ([], modes)
    if kind == "folder of somebody else":
        assert [*place.iterdir()] == []
    os.rename(place, world.drop / "away")  # noqa: PTH104  # a link too
    world.queue.take_in()
    world.run()
    world.queue.take_in()
    assert (world.drop / "accepted/greeter_1.0_amd64.changes.json").exists()
    assert [*(world.drop / "rejected").glob("junk-*/status.json")] != []


def test_a_verdict_is_not_written_through_a_link_that_lies_there(world: QueueWorld, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    world.put(world.drop, upload_of())
    assert world.queue.take_in() == 1
    world.run()
    (world.drop / "accepted/.greeter_1.0_amd64.changes.json.new").symlink_to(victim)
    world.queue.take_in()
    assert victim.read_bytes() == b"precious"
    assert json.loads((world.drop / "accepted/greeter_1.0_amd64.changes.json").read_text())["result"] == "accepted"


_WATCHING: list[Callable[[str], None]] = []
sys.addaudithook(
    lambda event, arguments: [act(str(arguments[0])) for act in list(_WATCHING)] and None if event == "open" else None
)


@contextmanager
def at_opening(number: int, name: str, act: Callable[[], None]) -> Iterator[None]:
    """Act just before a file of this name is opened for the n-th time."""
    left = number

    def watch(path: str) -> None:
        nonlocal left
        if Path(path).name == name:
            left -= 1
            if left == 0:
                act()

    _WATCHING.append(watch)
    try:
        yield
    finally:
        _WATCHING.remove(watch)


@pytest.mark.parametrize("swapped", ["greeter_1.0_amd64.deb", "greeter_1.0_amd64.changes"])
def test_a_file_that_becomes_a_link_while_its_upload_is_refused_shows_nothing(
    world: QueueWorld, monkeypatch: pytest.MonkeyPatch, swapped: str
) -> None:
    key = world.context.paths.keys / "secret.pgp"
    key.write_bytes(b"PRIVATE" * 100)
    monkeypatch.setattr(incoming, "PATIENCE_S", -1)

    def swap() -> None:
        (world.drop / swapped).unlink(missing_ok=True)
        (world.drop / swapped).symlink_to(key)

    for number in range(1, 9):
        shutil.rmtree(world.drop, ignore_errors=True)
        changes = world.put(world.drop, upload_of())
        (world.drop / "greeter_1.0.dsc").unlink()
        with at_opening(number, changes.name, swap):
            world.queue.take_in()
            world.queue.take_in()
        shown = [place.read_bytes() for place in (world.drop / "rejected").rglob("*") if place.is_file()]
        assert [content for content in shown if b"PRIVATE" in content] == [], number


def test_of_a_refused_upload_no_more_is_kept_than_it_announces(
    world: QueueWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put(world.drop, upload_of())
    (world.drop / "greeter_1.0.dsc").unlink()
    os.truncate(world.drop / "greeter_1.0_amd64.deb", 64 << 20)
    late(monkeypatch)
    assert world.queue.take_in() == 0
    [place] = (world.drop / "rejected").iterdir()
    assert (place / "greeter_1.0_amd64.deb").stat().st_size < 4 << 20
    assert left(world.drop) == []


def test_a_name_that_no_upload_has_keeps_nobody_else_waiting(
    world: QueueWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put(world.drop, upload_of())
    for name in (b"\xff.changes", b"a b.changes", b"a" * 240 + b".changes"):
        (world.drop / os.fsdecode(name)).write_bytes(b"junk")
    late(monkeypatch)
    said: list[str] = []
    assert (world.queue.take_in(said.append), said) == (1, [])
    monkeypatch.setattr(incoming, "LEFT_S", -1)
    time.sleep(0.01)
    world.queue.take_in()
    assert [name for name in left(world.drop) if not name.startswith(".taken/")] == []


def test_a_file_that_we_may_not_read_keeps_nobody_else_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    is_root = os.geteuid() == 0
    try:
        if is_root:
            os.seteuid(65534)  # root reads everything
        world = queue_world(folder / "world")
        world.put(world.drop, upload_of())
        (world.drop / "a.changes").write_bytes(b"junk")
        (world.drop / "a.changes").chmod(0)
        late(monkeypatch)
        assert world.queue.take_in() == 1
        [told] = (world.drop / "rejected").glob("a-*/status.json")
        assert "cannot be read" in json.loads(told.read_text())["problems"][0]
        assert not (world.drop / "a.changes").exists()
        world.context.database.close()
    finally:
        if is_root:
            os.seteuid(0)
        shutil.rmtree(folder)


def test_nothing_comes_to_a_private_archive_from_outside_and_no_answer_says_what_it_has(
    world: QueueWorld, tmp_path: Path
) -> None:
    vault = world.queue.config.archives["petrel"].model_copy(update={"private": True})
    world.queue = replace(world.queue, config=replace(world.queue.config, archives={"petrel": vault}))
    upload = upload_of()
    for name in ("devel", "nowhere"):
        place = world.put(tmp_path / name, make_upload(make_source("greeter"), make_deb("greeter"), distribution=name))
        folder = world.queue.session("ada")
        for file in place.parent.iterdir():
            shutil.copy(file, folder / file.name)
        with pytest.raises(NotFound, match=f"there is no suite '{name}'"):
            world.queue.from_session("ada", place.name)
    job = world.queue.from_file(world.put(tmp_path / "by-hand", upload), "")
    assert job.inputs["archive"] == "petrel", "who has this machine may"
