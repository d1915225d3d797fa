"""The keys of an archive from the command line: made, printed, checked, changed, handed out."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.worlds.apt import make_apt
from tests.worlds.installation import CONFIG
from tests.worlds.keys import PASSPHRASE, gpg_home, gpg_key

from distwright.cli.archive import command as archive
from distwright.cli.config import command as config
from distwright.cli.suite import command as suite
from distwright.errors import Refused
from distwright.signing.verify import Keyring

ROTATING = CONFIG.replace(
    'key = { credential = "petrel" }', 'key = { credential = "petrel" }\nnext_key = { credential = "petrel-2" }'
)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """An installation whose archive has two keys."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "distwright.toml").write_text(ROTATING)
    call(config, "init", str(tmp_path / "conf"), "--state", str(tmp_path / "state"))
    return tmp_path / "state"


def call(group: object, *words: str, exit_code: int = 0) -> str:
    done = CliRunner().invoke(group, words, catch_exceptions=False)  # type: ignore[arg-type]
    assert done.exit_code == exit_code, done.output
    return done.stdout


def use_gpg(state: Path, credential: str, fingerprint: str) -> None:
    (state / "keys" / f"{credential}.pgp").unlink(missing_ok=True)
    described = state / "keys" / f"{credential}.toml"
    described.write_text(f'signer = "gpg"\nfingerprint = "{fingerprint}"\nhome = "{gpg_home()}"\n')
    described.chmod(0o600)
    secret = state / "keys" / f"{credential}.passphrase"
    secret.write_bytes(PASSPHRASE)
    secret.chmod(0o600)


def test_both_keys_are_made_printed_and_sign(state: Path, tmp_path: Path) -> None:
    printed = call(archive, "key", "petrel", "--make", "--state", str(state))
    ring = Keyring(printed.encode(), "printed")
    assert (len(ring.fingerprints), printed.count("BEGIN PGP")) == (2, 1)
    assert call(archive, "key", "petrel", "--make", "--state", str(state)) == printed
    call(suite, "publish", "petrel/devel", "--state", str(state))
    inrelease = (state / "public" / "petrel" / "dists" / "devel" / "InRelease").read_bytes()
    assert ring.verify_clear(inrelease, "InRelease").signers == ring.fingerprints
    url = f"copy:{state}/public/petrel"
    text = call(archive, "sources", "petrel", "devel", "--url", url, "--state", str(state))
    apt = make_apt(tmp_path / "apt", url, b"")
    (apt.folder / "etc" / "sources.list").unlink()
    (apt.folder / "etc" / "sources.list.d").mkdir()
    (apt.folder / "etc" / "sources.list.d" / "petrel.sources").write_text(text)
    updated = apt.update()
    assert (updated.exit_code, updated.complaints) == (0, [])


def test_check_names_what_apt_refuses_and_such_a_key_does_not_sign(state: Path) -> None:
    call(archive, "key", "petrel", "--make", "--state", str(state))
    assert call(archive, "key", "petrel", "--check", "--state", str(state)) == "all is well\n"
    ending = gpg_key("petrel-ending", "ed25519", "20d")
    use_gpg(state, "petrel-2", ending)
    assert f"key {ending} expires on " in call(archive, "key", "petrel", "--check", "--state", str(state), exit_code=1)
    call(suite, "publish", "petrel/devel", "--state", str(state))
    weak = gpg_key("weak-rsa1024", "rsa1024")
    use_gpg(state, "petrel-2", weak)
    answer = json.loads(call(archive, "key", "petrel", "--check", "--json", "--state", str(state), exit_code=1))
    assert answer["findings"] == [
        {"kind": "key-refused", "fingerprint": weak, "evidence": "is rsa1024, which apt refuses"}
    ]
    with pytest.raises(Refused, match=f"key {weak} is rsa1024, which apt refuses"):
        call(suite, "publish", "petrel/devel", "--again", "--state", str(state))


def test_keyring_is_written_as_a_package_and_sources_name_it(state: Path, tmp_path: Path) -> None:
    call(archive, "key", "petrel", "--make", "--state", str(state))
    (tmp_path / "out").mkdir()
    words = ("keyring", "petrel", "--output", str(tmp_path / "out"), "--state", str(state))
    made = Path(call(archive, *words).strip())
    content = made.read_bytes()
    assert made.name.startswith("petrel-archive-keyring_")
    assert made.name.endswith("~next_all.deb")
    call(archive, *words)
    assert made.read_bytes() == content
    assert json.loads(call(archive, *words, "--package", "petrel-keys", "--json"))["package"] == "petrel-keys"
    text = call(archive, "sources", "petrel", "devel", "--package", "--state", str(state))
    assert "Signed-By: /usr/share/keyrings/petrel-archive-keyring.pgp\n" in text
