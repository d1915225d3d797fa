"""Somebody with nothing but a bundle and an address takes what the image was made from, and is told what cannot be built."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.habits.samples import EPOCH, INPUTS
from tests.system import test_taking_part
from tests.system.line import state_folder
from tests.worlds.archive import make_deb, make_source, signer
from tests.worlds.commands import CommandLine
from tests.worlds.servers import DISTWRIGHT, free_port

from distwright.app import open_app
from distwright.archive.resolve import resolve_suites
from distwright.builds.environment import EnvironmentRecipe
from distwright.images.bundle import write_bundle
from distwright.jobs.step import Fetched, StepResult
from distwright.model.digests import Json, sha256_of
from distwright.site.verifying import claimed_folder

pytestmark = pytest.mark.system
served = test_taking_part.served  # an upstream that was recorded and packages of ours, and the address of that
TOOLS = test_taking_part.OURS[0]
SUMS = f"{sha256_of(b'iso')}  petrel-amd64-1.0.iso\n".encode()


@dataclass(frozen=True)
class Stranger:
    """A folder elsewhere with a bundle, and what ours has."""

    folder: Path
    url: str
    ours: CommandLine

    def verify(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Verify the bundle there, as a process of its own."""
        argv = [str(DISTWRIGHT), "image", "verify", "petrel.bundle", "--from", self.url, *words, "--state", "state"]
        return subprocess.run(argv, cwd=self.folder, capture_output=True, text=True, check=False, timeout=120)

    def answer(self, *words: str) -> Any:
        """Ask the state of the verification."""
        argv = [str(DISTWRIGHT), *words, "--state", "state", "--json"]
        done = subprocess.run(argv, cwd=self.folder, capture_output=True, text=True, check=True, timeout=60)
        return json.loads(done.stdout)


def bundle_of(ours: CommandLine, changed: Sequence[Any] = ()) -> bytes:
    """Write the bundle of an image that was never built: its order names the states as they are, and a package of ours."""
    app = open_app(str(ours.state))
    context = app.command_context()
    with app.database.read() as tx:
        resolved = resolve_suites(tx, app.ground(), ("debian/stable", "petrel/devel"))
    recipe = EnvironmentRecipe(resolved.shelf, resolved.components, "minbase", ("tools",), "amd64", EPOCH).to_json()
    inputs: dict[str, Json] = {
        **INPUTS["image.build"], "root": recipe, "tools": recipe, "hooks": {}, "includes": str(app.objects.put(b"a tar")),
        "states": {}, "url": "",
    }  # fmt: skip
    used = (Fetched("petrel", "devel", TOOLS.pool_path(), TOOLS.sha256, len(TOOLS.content)),)
    earlier = {"root": StepResult({}, used), "tools": StepResult({})}
    digest = write_bundle(context, inputs, earlier, SUMS, signer("petrel").sign_detached(SUMS))
    content = app.objects.read(digest)
    app.database.close()
    return content


@pytest.fixture
def stranger(served: tuple[CommandLine, str, Path]) -> Any:
    ours, url, _ = served
    with state_folder() as folder:
        (folder / "petrel.bundle").write_bytes(bundle_of(ours))
        (folder / "petrel.asc").write_bytes(signer("petrel").certificate())
        (folder / "stranger.asc").write_bytes(signer("stranger").certificate())
        yield Stranger(folder, url, ours)


def test_the_states_are_taken_and_what_cannot_be_built_is_unknown(stranger: Stranger) -> None:
    """The recorded archive is none of which a system could be made. What was published is fetched for a look into it."""
    published = stranger.ours.state / "public" / "images" / "petrel-amd64-1.0"
    published.mkdir(parents=True, exist_ok=True)
    (published / "petrel-amd64-1.0.iso").write_bytes(b"iso")
    stranger.ours.publish("devel", make_deb("later", "1.0"), make_source("later", "1.0"))
    done = stranger.verify("--keyring", "petrel.asc", "--explain", "--json")
    assert done.returncode == 20, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["verdict"], answer["differences"], answer["statement"]) == ("unknown", [], [])
    assert "tools: " in answer["message"], answer
    assert "nobody said whose signature" not in done.stderr
    [theirs], [ours] = (
        stranger.answer("snapshot", "list", "debian"),
        stranger.ours.run("snapshot", "list", "debian", as_json=True).answer,
    )
    assert (theirs["serial"], theirs["digest"]) == (ours["serial"], ours["digest"])
    app = open_app(str(stranger.folder / "state"))
    assert app.objects.read(TOOLS.sha256) == TOOLS.content, "of the suite as it was, though it has moved on"
    assert app.objects.read(sha256_of(b"iso")) == b"iso"
    app.database.close()
    assert f"what it was built in is kept: {stranger.folder}/state" in done.stderr


def test_another_signature_and_another_folder_are_refused_before_anything_is_done(stranger: Stranger) -> None:
    done = stranger.verify("--keyring", "stranger.asc")
    assert (done.returncode, "SHA256SUMS of petrel-amd64-1.0" in done.stderr) == (3, True), done.stderr
    assert not (stranger.folder / "state").exists()
    (stranger.folder / "state").mkdir()
    (stranger.folder / "state" / "mine").touch()
    done = stranger.verify()
    assert (done.returncode, "no folder of a verification" in done.stderr) == (3, True), done.stderr


def test_a_server_that_has_other_states_is_refused(stranger: Stranger) -> None:
    text = (stranger.folder / "petrel.bundle").read_bytes()
    [snapshot] = stranger.ours.run("snapshot", "list", "debian", as_json=True).answer
    assert snapshot["serial"].encode() in text
    (stranger.folder / "petrel.bundle").write_bytes(text.replace(snapshot["serial"].encode(), b"2001010101"))
    done = stranger.verify()
    assert done.returncode == 10, done.stderr
    assert "2001010101" in done.stderr


def test_nobody_who_answers_and_another_one_at_work_have_exit_codes_of_their_own(stranger: Stranger) -> None:
    nobody = Stranger(stranger.folder, f"http://127.0.0.1:{free_port()}", stranger.ours)
    done = nobody.verify()
    assert (done.returncode, "this is a bug" in done.stderr) == (20, False), done.stderr
    with claimed_folder(stranger.folder / "state"):
        done = stranger.verify()
    assert (done.returncode, "another verification of this bundle is at work in state" in done.stderr) == (11, True), (
        done.stderr
    )


def test_a_bundle_with_other_words_in_it_is_no_bundle_and_no_bug(stranger: Stranger) -> None:
    """First its table of an archive is none, then its order."""
    whole = (stranger.folder / "petrel.bundle").read_bytes()
    for there, instead in ((b'"components":["main"]', b'"components":["m in"]'), (b'"epoch":1', b'"epock":1')):
        assert there in whole
        (stranger.folder / "petrel.bundle").write_bytes(whole.replace(there, instead))
        done = stranger.verify()
        assert (done.returncode, "bug" in done.stderr, "bundle" in done.stderr) == (2, False, True), done.stderr
