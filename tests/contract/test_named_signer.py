"""The name of a credential leads to its signer: a key here, a key of gpg, or a command; nothing that others could have changed."""

import subprocess
from pathlib import Path

import pytest
from tests.worlds.keys import (
    PASSPHRASE,
    command_signer,
    gpg_certificate,
    gpg_home,
    gpg_key,
    gpg_signer,
    joint_signer,
    key_file,
    signer,
)

from distwright.errors import BadInput, DistwrightError, NotFound, ProgramFailed, Refused
from distwright.signing.command import CommandSigner
from distwright.signing.gpg import GpgSigner
from distwright.signing.joint import JointSigner
from distwright.signing.joint import joint_signer as joined
from distwright.signing.named import named_signer
from distwright.signing.signer import Signer
from distwright.signing.verify import Keyring

TEXT = b"Origin: Petrel\nSuite: devel\n"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o700)
    return folder


def write(path: Path, content: str | bytes, mode: int = 0o600) -> None:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)


def signs(made: Signer, certificate: bytes) -> bool:
    return Keyring(certificate, "ours").verify_clear(made.sign_clear(TEXT), "InRelease").content == TEXT


def test_key_in_a_file_is_used_here(keys: Path) -> None:
    write(keys / "petrel.pgp", key_file("ours"))
    assert named_signer("petrel", keys).fingerprints == signer("ours").fingerprints


def test_key_that_systemd_brings_comes_first(keys: Path, tmp_path: Path) -> None:
    write(keys / "petrel.pgp", key_file("ours"))
    write(tmp_path / "petrel", key_file("theirs"), 0o440)
    assert named_signer("petrel", keys, tmp_path).fingerprints == signer("theirs").fingerprints


def test_key_of_gpg_with_a_passphrase_beside_it(keys: Path) -> None:
    fingerprint = gpg_key("ours")
    write(keys / "petrel.toml", f'signer = "gpg"\nfingerprint = "{fingerprint.upper()}"\nhome = "{gpg_home()}"\n')
    write(keys / "petrel.passphrase", PASSPHRASE + b"\n")
    assert signs(named_signer("petrel", keys), gpg_certificate(fingerprint))
    (keys / "petrel.passphrase").chmod(0o640)
    with pytest.raises(Refused, match=r"petrel\.passphrase can be read by others"):
        named_signer("petrel", keys)


def test_command_signs(keys: Path) -> None:
    fingerprint = gpg_key("ours")
    command_signer("ours")
    write(keys / "ours.asc", gpg_certificate(fingerprint))
    script = f'["{gpg_home()}/sign-ours"]'
    write(keys / "petrel.toml", f'signer = "command"\ncommand = {script}\ncertificate = "{keys}/ours.asc"\n')
    made = named_signer("petrel", keys)
    assert made.fingerprints == (fingerprint,)
    assert signs(made, gpg_certificate(fingerprint))


WRONG = {
    "no TOML": ("signer = ", r"petrel\.toml cannot be read"),
    "another signer": ('signer = "hsm"', 'must say signer = "gpg" or signer = "command"'),
    "unknown setting": ('signer = "gpg"\npassphrase = "x"', "has 'passphrase'; known are fingerprint, home, signer"),
    "short fingerprint": (
        'signer = "gpg"\nfingerprint = "12"\nhome = "/"',
        "fingerprint must have 40 hexadecimal digits",
    ),
    "no home": (f'signer = "gpg"\nfingerprint = "{"0" * 40}"', "home is missing"),
    "home is nowhere": (
        f'signer = "gpg"\nfingerprint = "{"0" * 40}"\nhome = "/nowhere"',
        "home /nowhere is not a folder",
    ),
    "command is a string": (
        'signer = "command"\ncommand = "sign"\ncertificate = "x"',
        "command must be a list of words",
    ),
    "no certificate": ('signer = "command"\ncommand = ["sign"]', "certificate is missing"),
    "certificate is nowhere": ('signer = "command"\ncommand = ["x"]\ncertificate = "/nowhere"', "is not a file"),
    "timeout": ('signer = "command"\ncommand = ["x"]\ncertificate = "x"\ntimeout_s = 0', "timeout_s must be a number"),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG)
def test_description_that_is_wrong_is_refused_by_name(keys: Path, text: str, message: str) -> None:
    write(keys / "petrel.toml", text)
    with pytest.raises(DistwrightError, match=message):
        named_signer("petrel", keys)


def test_description_that_others_may_change_is_not_used(keys: Path) -> None:
    write(keys / "petrel.toml", 'signer = "command"', 0o664)
    with pytest.raises(Refused, match=r"petrel\.toml can be changed by others"):
        named_signer("petrel", keys)


def test_gpg_says_why_it_did_not_sign(tmp_path: Path) -> None:
    fingerprint = gpg_key("locked")
    with pytest.raises(Refused, match=f"key {fingerprint} of gpg did not sign: the passphrase is wrong"):
        GpgSigner(fingerprint, gpg_home(), b"wrong").sign_clear(TEXT)
    with pytest.raises(NotFound, match=f"gpg has no certificate {'0' * 40}"):
        GpgSigner("0" * 40, gpg_home(), b"").certificate()
    (tmp_path / "public").mkdir(mode=0o700)
    argv = ("gpg", "--homedir", str(tmp_path / "public"), "--batch", "--quiet", "--import")
    subprocess.run(argv, input=gpg_certificate(fingerprint), check=True)
    with pytest.raises(Refused, match="did not sign: it has no secret key"):
        GpgSigner(fingerprint, tmp_path / "public", b"x").sign_detached(TEXT)


def test_configuration_of_gpg_adds_no_second_signature() -> None:
    made = gpg_signer("ours")
    other = gpg_key("other")
    (gpg_home() / "gpg.conf").write_text(f"default-key {other}\nlocal-user {other}\ndigest-algo SHA1\n")
    try:
        signed = made.sign_clear(TEXT)
    finally:
        (gpg_home() / "gpg.conf").unlink()
    both = Keyring(made.certificate() + gpg_certificate(other), "both")
    assert both.verify_clear(signed, "x").signers == made.fingerprints


LIES = {
    "nothing": ("exit 0", ProgramFailed, "gave no signature"),
    "failure": ("echo no card >&2; exit 3", ProgramFailed, "failed .exit 3.: 'no card'"),
    "the text as it is": ("cat", Refused, "is not one signed message"),
    "another text": ("sed s/devel/evil/ | {sign}", Refused, "signed something else than it was given"),
    "another key": ("{sign_other}", Refused, "has no valid signature"),
    "SHA-224": ("{sign} --digest-algo SHA224", Refused, "signed with SHA224|no valid signature"),
    "SHA-1": ("{sign} --digest-algo SHA1", Refused, "no valid signature|signed with SHA1"),
    "more than was asked for": ("{sign}; echo Suite: evil", Refused, "is not one signed message"),
}


@pytest.mark.parametrize(("body", "error", "message"), LIES.values(), ids=LIES)
def test_what_a_command_answers_is_verified(
    tmp_path: Path, body: str, error: type[DistwrightError], message: str
) -> None:
    ours, other = gpg_key("ours"), gpg_key("other")
    script, secret = tmp_path / "sign", tmp_path / "passphrase"
    secret.write_bytes(PASSPHRASE)
    words = f"gpg --homedir {gpg_home()} --batch --quiet --pinentry-mode loopback --passphrase-file {secret} --armor"
    body = body.format(sign=f"sign --local-user {ours}", sign_other=f"sign --local-user {other}")
    script.write_text(f'#!/bin/sh\nsign() {{ {words} "$@" --clearsign; }}\n{body}\n')
    script.chmod(0o700)
    with pytest.raises(error, match=message):
        CommandSigner((str(script),), gpg_certificate(ours)).sign_clear(TEXT)


def test_certificate_of_a_command_is_one_and_public() -> None:
    for certificate in (key_file("ours"), joint_signer("ours").certificate()):
        with pytest.raises(BadInput, match="must be one public certificate"):
            CommandSigner(("sign",), certificate)


def test_same_key_twice_is_no_rotation() -> None:
    with pytest.raises(Refused, match="key and next_key are the same key"):
        joined([signer("ours"), signer("ours")])


def test_joint_signature_is_good_for_who_has_one_of_the_keys_only() -> None:
    parts = (signer("old"), gpg_signer("new"))
    both = JointSigner(parts)
    for part in parts:
        ring = Keyring(part.certificate(), "one")
        assert ring.verify_clear(both.sign_clear(TEXT), "x").signers == part.fingerprints
        assert ring.verify_detached(TEXT, both.sign_detached(TEXT), "x").signers == part.fingerprints
