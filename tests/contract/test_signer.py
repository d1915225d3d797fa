"""What every signer does: signatures that our keyrings and Debian's gpgv accept, and nothing but what was signed."""

import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from tests.worlds.keys import command_signer, gpg_signer, joint_signer, key_file, signer

from distwright.errors import BadInput, NotFound, Refused
from distwright.signing.signer import SequoiaSigner, Signer, make_key
from distwright.signing.verify import Keyring, Verified

SIGNERS: dict[str, Callable[[str], Signer]] = {
    "sequoia": signer,
    "gpg": gpg_signer,
    "command": command_signer,
    "joint": joint_signer,
}
RELEASE = b"Origin: Petrel\nSuite: devel\nSHA256:\n " + b"0" * 64 + b" 17 main/binary-amd64/Packages\n"
TEXTS = {
    "release": RELEASE,
    "dashes": b"- one\n-- two\n-----BEGIN PGP SIGNATURE-----\nnot the end\n-----END PGP SIGNATURE-----\n-\n",
    "begin of a message": b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA1\n\nnested\n",
    "beyond ascii": "Größe: 3 € 🐧\n".encode(),
    "no unicode": b"\xff\xfe latin\n",
    "empty lines": b"\n\na\n\n\n",
    "one line": b"a\n",
    "empty": b"",
    "no final newline": b"a\nb",
    "from": b"From here\n",
    "long": b"x" * 10_000 + b"\n",
}
BINARY = bytes(range(256)) * 100


@pytest.fixture(params=SIGNERS)
def ours(request: pytest.FixtureRequest) -> Signer:
    return SIGNERS[request.param]("ours")


@pytest.fixture
def theirs() -> Signer:
    return signer("theirs")


@pytest.fixture
def keyring(ours: Signer) -> Keyring:
    return Keyring(ours.certificate(), "ours.asc")


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_clear_signature_gives_back_exactly_the_text(ours: Signer, keyring: Keyring, text: bytes) -> None:
    assert keyring.verify_clear(ours.sign_clear(text), "InRelease") == Verified(text, ours.fingerprints)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_gpgv_accepts_the_clear_signature_and_reads_the_same_text(ours: Signer, text: bytes, tmp_path: Path) -> None:
    """gpgv ends the last line, as the framework does not sign its end (RFC 9580, section 7.2)."""
    assert _gpgv(tmp_path, ours, ours.sign_clear(text)) == (0, text + b"\n")


def test_white_space_at_the_end_of_lines_is_not_signed_and_not_given_back(
    ours: Signer, keyring: Keyring, tmp_path: Path
) -> None:
    signed = ours.sign_clear(b"a  \t \nb \n")
    for message in (signed, signed.replace(b"\nb", b" \t\nb")):
        assert keyring.verify_clear(message, "InRelease").content == b"a\nb\n"
        assert _gpgv(tmp_path, ours, message)[0] == 0


@pytest.mark.parametrize("content", [*TEXTS.values(), BINARY], ids=[*TEXTS, "binary"])
def test_detached_signature_covers_every_byte(ours: Signer, keyring: Keyring, content: bytes, tmp_path: Path) -> None:
    signature = ours.sign_detached(content)
    assert keyring.verify_detached(content, signature, "Release") == Verified(content, ours.fingerprints)
    assert _gpgv(tmp_path, ours, signature, content)[0] == 0
    for other in (content + b"\n", content + b" ", b" " + content, content[:-1] if content else b"x"):
        with pytest.raises(Refused, match=r"Release has no valid signature by a key of ours\.asc"):
            keyring.verify_detached(other, signature, "Release")


def test_signatures_are_armoured_text(ours: Signer) -> None:
    assert ours.sign_detached(BINARY).startswith(b"-----BEGIN PGP SIGNATURE-----\n")
    assert ours.sign_clear(RELEASE).startswith(b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nOrigin: Petrel\n")
    assert ours.certificate().startswith(b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n")


def test_certificate_holds_no_secret(ours: Signer, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(ours.certificate())
    (tmp_path / "key").chmod(0o600)
    assert b"PRIVATE" not in ours.certificate()
    with pytest.raises(Refused, match="cannot sign"):
        SequoiaSigner(tmp_path / "key")


def test_fingerprint_is_the_one_that_gpg_shows(ours: Signer, keyring: Keyring, tmp_path: Path) -> None:
    shown = _gpg(tmp_path, ours.certificate(), "--show-keys", "--with-colons").decode().splitlines()
    records = [line.split(":") for line in shown if line.startswith(("pub:", "fpr:"))]
    fingerprints = tuple(after[9].lower() for before, after in pairwise(records) if before[0] == "pub")
    assert (fingerprints, keyring.fingerprints) == (ours.fingerprints, ours.fingerprints)


def test_key_of_somebody_else_is_refused(ours: Signer, theirs: Signer, keyring: Keyring, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"InRelease has no valid signature by a key of ours\.asc"):
        keyring.verify_clear(theirs.sign_clear(RELEASE), "InRelease")
    with pytest.raises(Refused, match=r"Release has no valid signature by a key of ours\.asc"):
        keyring.verify_detached(RELEASE, theirs.sign_detached(RELEASE), "Release")
    assert _gpgv(tmp_path, ours, theirs.sign_clear(RELEASE))[0] != 0


def test_one_of_several_trusted_keys_is_enough_and_is_named(ours: Signer, theirs: Signer) -> None:
    both = Keyring(theirs.certificate() + ours.certificate(), "both.asc")
    assert both.fingerprints == theirs.fingerprints + ours.fingerprints
    for signed_by in (ours, theirs):
        assert both.verify_clear(signed_by.sign_clear(RELEASE), "x") == Verified(RELEASE, signed_by.fingerprints)
        detached = both.verify_detached(BINARY, signed_by.sign_detached(BINARY), "x")
        assert detached == Verified(BINARY, signed_by.fingerprints)


def test_edited_text_is_refused(ours: Signer, keyring: Keyring) -> None:
    signed = ours.sign_clear(RELEASE)
    for old, new in ((b"devel", b"evil!"), (b"Suite: devel\n", b""), (b"Suite", b" Suite"), (b"17", b"017")):
        with pytest.raises(Refused, match="no valid signature"):
            keyring.verify_clear(signed.replace(old, new), "InRelease")


EDITS: dict[str, Callable[[bytes], bytes]] = {
    "text before": lambda signed: b"Suite: evil\n" + signed,
    "empty line before": lambda signed: b"\n" + signed,
    "text after": lambda signed: signed + b"Suite: evil\n",
    "text between two signatures": lambda signed: signed + b"Suite: evil\n" + _signature_of(signed),
    "second signature": lambda signed: signed + _signature_of(signed),
    "second message": lambda signed: signed + signed,
    "text in the headers": lambda signed: signed.replace(b"Hash: SHA512\n", b"Hash: SHA512\nSuite: evil\n"),
    "header of another kind": lambda signed: signed.replace(b"Hash:", b"NotDashEscaped: yes\nHash:"),
    "text on the first line": lambda signed: signed.replace(b"MESSAGE-----\n", b"MESSAGE----- Suite: evil\n"),
    "line without its dash-escape": lambda signed: signed.replace(b"\n\nOrigin", b"\n\n-----BEGIN X-----\nOrigin"),
    "text in the signature": lambda signed: signed.replace(
        b"SIGNATURE-----\n\n", b"SIGNATURE-----\n\nSuite: evil\n", 1
    ),
    "signature cut off": lambda signed: signed[: signed.index(b"-----END")],
    "only the text": lambda signed: signed[: signed.index(b"-----BEGIN PGP SIGNATURE")],
    "nothing signed": lambda _signed: RELEASE,
    "nothing at all": lambda _signed: b"",
    "only the armour": lambda signed: b"-----BEGIN PGP SIGNED MESSAGE-----\n\n" + _signature_of(signed),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_message_is_one_signed_text_from_its_first_line_to_its_last(
    ours: Signer, keyring: Keyring, edit: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(Refused, match=r"^InRelease (is not one signed message|has no valid signature)"):
        keyring.verify_clear(edit(ours.sign_clear(RELEASE)), "InRelease")


@pytest.mark.parametrize("signature", [b"", b"no signature", BINARY, RELEASE])
def test_detached_signature_that_is_none_is_refused(keyring: Keyring, signature: bytes) -> None:
    with pytest.raises(Refused, match=r"^Release has no (readable|valid) signature"):
        keyring.verify_detached(RELEASE, signature, "Release")


def test_message_cut_at_any_byte_is_refused_and_never_a_crash(ours: Signer, keyring: Keyring) -> None:
    signed = ours.sign_clear(b"a\n")
    for length in range(len(signed) - 1):
        with pytest.raises(Refused):
            keyring.verify_clear(signed[:length], "InRelease")


@pytest.mark.parametrize("content", [b"", b"no keys", BINARY])
def test_keyring_without_a_certificate_is_bad_input(content: bytes) -> None:
    with pytest.raises(BadInput, match=r"keyring x\.gpg (cannot be read|holds no certificate)"):
        Keyring(content, "x.gpg")


# The key in a file


def test_binary_keyring_is_read_like_an_armoured_one(ours: Signer, tmp_path: Path) -> None:
    binary = _gpg(tmp_path, ours.certificate(), "--dearmor")
    assert Keyring(binary, "ours.gpg").fingerprints == ours.fingerprints


def test_keyring_of_debian_is_read() -> None:
    path = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    assert len(Keyring(path.read_bytes(), path.name).fingerprints) > 3


def test_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "petrel.signing.pgp"
    assert [make_key(path, "Petrel <petrel@example.org>") for _ in range(2)] == [True, False]
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert list(path.parent.iterdir()) == [path]
    assert SequoiaSigner(path).fingerprints == SequoiaSigner(path).fingerprints


def test_same_key_signs_the_same_way_after_it_was_read_again(tmp_path: Path) -> None:
    (tmp_path / "key.pgp").write_bytes(key_file("ours"))
    (tmp_path / "key.pgp").chmod(0o600)
    ring = Keyring(SequoiaSigner(tmp_path / "key.pgp").certificate(), "x")
    again = SequoiaSigner(tmp_path / "key.pgp")
    assert ring.verify_clear(again.sign_clear(RELEASE), "x").content == RELEASE


def test_key_that_is_missing_or_no_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"key .*/petrel\.pgp does not exist") as missing:
        SequoiaSigner(tmp_path / "petrel.pgp")
    assert missing.value.hint == "distwright key make petrel"
    (tmp_path / "petrel.pgp").write_text("no key")
    (tmp_path / "petrel.pgp").chmod(0o600)
    with pytest.raises(Refused, match=r"key .*/petrel\.pgp cannot sign"):
        SequoiaSigner(tmp_path / "petrel.pgp")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_key_that_others_may_read_is_not_used(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "petrel.pgp"
    path.write_bytes(key_file("ours"))
    path.chmod(mode)
    with pytest.raises(Refused, match=rf"key .*/petrel\.pgp can be read by others \(mode {mode:04o}\)") as caught:
        SequoiaSigner(path)
    assert caught.value.hint == f"chmod 600 {path}"
    assert SequoiaSigner(path, is_guarded=True).fingerprints == signer("ours").fingerprints
    path.chmod(0o400)
    assert SequoiaSigner(path).fingerprints == signer("ours").fingerprints


def _signature_of(signed: bytes) -> bytes:
    return signed[signed.index(b"-----BEGIN PGP SIGNATURE-----") :]


def _gpg(home: Path, content: bytes, *arguments: str) -> bytes:
    home.chmod(0o700)
    argv = ["gpg", "--homedir", str(home), "--batch", *arguments]
    return subprocess.run(argv, input=content, check=True, capture_output=True).stdout


def _gpgv(folder: Path, signer: Signer, signature: bytes, content: bytes | None = None) -> tuple[int, bytes]:
    """Verify as apt does: exit code and the text that gpgv reads out of a clear signature."""
    names = {"ring.gpg": _gpg(folder, signer.certificate(), "--dearmor"), "signed": signature}
    if content is not None:
        names["content"] = content
    for name, what in names.items():
        (folder / name).write_bytes(what)
    out = folder / "out"
    out.unlink(missing_ok=True)
    argv = ["gpgv", "--keyring", folder / "ring.gpg", "--output", out, *(folder / name for name in list(names)[1:])]
    done = subprocess.run([str(word) for word in argv], capture_output=True)
    return done.returncode, out.read_bytes() if out.exists() else b""
