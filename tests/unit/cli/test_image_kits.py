"""`image key`, `image kit`, `image apply-kit`: what they say when there is nothing to do it with."""

from pathlib import Path

import pytest
from tests.worlds.commands import CommandLine, command_line
from tests.worlds.keys import signer

from distwright.app import open_app
from distwright.signing.verify import Keyring


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    return command_line(tmp_path_factory.mktemp("line"))


def test_the_certificate_of_images_is_printed_as_it_is_signed_with(line: CommandLine) -> None:
    missing = line.run("image", "key")
    assert (missing.exit_code, missing.text) == (10, "")
    app = open_app(str(line.state))
    app.keys.make("image", "Petrel images <image@petrel.invalid>")
    app.database.close()
    printed, as_json = line.run("image", "key"), line.run("image", "key", as_json=True)
    assert (printed.exit_code, as_json.answer) == (0, {"certificate": printed.text})
    keyring = Keyring(printed.text.encode(), "printed")
    assert (len(keyring.fingerprints), keyring.has_secrets) == (1, False)


def test_a_kit_of_images_that_nobody_built_is_refused_by_their_name(line: CommandLine) -> None:
    typed = line.run("image", "kit", "petrel-1", "petrel-2")
    assert (typed.exit_code, typed.said) == (10, "no image 'petrel-1' was built here")


def test_nothing_is_applied_that_no_description_names(line: CommandLine, tmp_path: Path) -> None:
    kit, keyring, device = (tmp_path / name for name in ("x.kit.tar", "images.asc", "stick.img"))
    kit.write_bytes(b"a kit")
    device.write_bytes(b"a stick")
    words = ("image", "apply-kit", str(kit), str(device), "--keyring", str(keyring))
    assert line.run(*words).said == f"{keyring} is no file"
    keyring.write_bytes(signer("image").certificate())
    assert line.run(*words).said == f"{tmp_path / 'upgrades.json'} is no file"
    (tmp_path / "upgrades.json").write_bytes(b"{}")
    (tmp_path / "upgrades.json.asc").write_bytes(signer("image").sign_detached(b"something else"))
    typed = line.run(*words)
    assert (typed.exit_code, device.read_bytes()) == (3, b"a stick")
