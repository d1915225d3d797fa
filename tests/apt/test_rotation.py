"""A change of keys: while two keys sign, an apt that has either of them is content; the keyring comes as a package."""

import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from tests.worlds.apt import Apt, make_apt
from tests.worlds.keys import gpg_certificate, gpg_key, gpg_signer, signer
from tests.worlds.suite import OwnSuite, own_suite

from distwright.archive.handout import KeyringPackage, keyring_deb, keyring_path, sources_text
from distwright.signing.armor import joined_certificates
from distwright.signing.joint import JointSigner
from distwright.signing.signer import Signer

OLD, NEXT = "petrel", "petrel-next"


def next_signer() -> Signer:
    """The next key is of another kind, in gpg."""
    return gpg_signer(NEXT)


def both() -> Signer:
    return JointSigner((signer(OLD), next_signer()))


@pytest.fixture
def suite(tmp_path: Path) -> OwnSuite:
    return own_suite(tmp_path / "state")


def publish(suite: OwnSuite, version: str, by: Signer) -> None:
    suite.signed_by = by
    suite.publish(suite.version(version))


def is_content(apt: Apt, version: str) -> bool:
    updated = apt.update()
    return (updated.exit_code, updated.complaints) == (0, []) and f"hello {version}" in apt.candidates()


def test_apt_with_either_key_follows_through_the_whole_rotation(suite: OwnSuite, tmp_path: Path) -> None:
    old = make_apt(tmp_path / "old", f"copy:{suite.archive}", signer(OLD).certificate())
    new = make_apt(tmp_path / "new", f"copy:{suite.archive}", next_signer().certificate())
    all_ = make_apt(tmp_path / "all", f"copy:{suite.archive}", both().certificate())
    publish(suite, "1.0", signer(OLD))
    assert (is_content(old, "1.0"), new.update().exit_code != 0, is_content(all_, "1.0")) == (True, True, True)
    publish(suite, "2.0", both())
    assert [is_content(apt, "2.0") for apt in (old, new, all_)] == [True, True, True]
    publish(suite, "3.0", next_signer())
    assert (old.update().exit_code != 0, is_content(new, "3.0"), is_content(all_, "3.0")) == (True, True, True)


@pytest.mark.parametrize("key", [OLD, NEXT])
def test_detached_signature_is_accepted_with_either_key(suite: OwnSuite, tmp_path: Path, key: str) -> None:
    publish(suite, "1.0", both())
    (suite.archive / "dists" / "devel" / "InRelease").unlink()
    certificate = (signer(OLD) if key == OLD else next_signer()).certificate()
    assert is_content(make_apt(tmp_path / "apt", f"copy:{suite.archive}", certificate), "1.0")


def test_same_state_is_signed_anew_when_the_keys_change(suite: OwnSuite) -> None:
    publish(suite, "1.0", signer(OLD))
    publish(suite, "1.0", both())
    publish(suite, "1.0", both())
    assert [state for _, _, state in suite.publications()] == ["retired", "live"]


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_sources_text_with_both_keys_inline_is_trusted_before_during_and_after(
    suite: OwnSuite, tmp_path: Path, version: str
) -> None:
    publish(suite, version, {"1.0": both(), "2.0": next_signer()}[version])
    apt = make_apt(tmp_path / "apt", f"copy:{suite.archive}", b"")
    (apt.folder / "etc" / "sources.list").unlink()
    parts = apt.folder / "etc" / "sources.list.d"
    parts.mkdir()
    text = sources_text(f"copy:{suite.archive}", "devel", ("main",), both().certificate())
    (parts / "petrel.sources").write_text(text)
    assert is_content(apt, version)


def package(certificate: bytes, *, is_rotating: bool = False) -> KeyringPackage:
    name = "petrel-archive-keyring"
    return KeyringPackage(
        "petrel", "Petrel", name, "Petrel <ada@example.org>", certificate, is_rotating, "https://petrel.example"
    )


def installed(root: Path, file: Path) -> None:
    """Install with the real dpkg, in a root of its own."""
    for folder in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "var/lib/dpkg/status").touch()
    argv = ["dpkg", f"--root={root}", "--force-not-root", "--force-bad-path", "--log=/dev/null", "-i", str(file)]
    subprocess.run(argv, check=True, capture_output=True)


def test_keyring_package_is_installed_by_dpkg_and_trusted_by_apt(suite: OwnSuite, tmp_path: Path) -> None:
    publish(suite, "1.0", both())
    name, content = keyring_deb(package(both().certificate(), is_rotating=True))
    (tmp_path / name).write_bytes(content)
    installed(tmp_path / "root", tmp_path / name)
    keyring = tmp_path / "root" / keyring_path("petrel").lstrip("/")
    assert keyring.stat().st_mode & 0o777 == 0o644
    for path in (keyring, keyring.with_suffix(".asc")):
        apt = make_apt(tmp_path / path.suffix, f"copy:{suite.archive}", b"")
        text = sources_text(f"copy:{suite.archive}", "devel", ("main",), str(path))
        (apt.folder / "etc" / "sources.list").unlink()
        (apt.folder / "etc" / "sources.list.d").mkdir()
        (apt.folder / "etc" / "sources.list.d" / "petrel.sources").write_text(text)
        assert is_content(apt, "1.0")
    verify = ["dpkg", f"--root={tmp_path / 'root'}", "--verify", "petrel-archive-keyring"]
    assert subprocess.run(verify, check=True, capture_output=True).stdout == b""


def test_keyring_package_is_what_dpkg_deb_and_our_own_reader_take(tmp_path: Path) -> None:
    name, content = keyring_deb(package(signer(OLD).certificate()))
    (tmp_path / name).write_bytes(content)
    shown = subprocess.run(["dpkg-deb", "--info", tmp_path / name], check=True, capture_output=True, text=True)
    assert "Package: petrel-archive-keyring" in shown.stdout
    assert shown.stderr == ""
    listed = subprocess.run(["dpkg-deb", "--contents", tmp_path / name], check=True, capture_output=True, text=True)
    assert sorted(line.split()[-1] for line in listed.stdout.splitlines() if line.startswith("-")) == [
        "./usr/share/doc/petrel-archive-keyring/changelog.gz",
        "./usr/share/doc/petrel-archive-keyring/copyright",
        "./usr/share/keyrings/petrel-archive-keyring.asc",
        "./usr/share/keyrings/petrel-archive-keyring.pgp",
    ]
    assert all(" root/root " in line for line in listed.stdout.splitlines())


def test_keyring_package_is_the_same_for_the_same_keys_and_newer_with_each_step_of_a_rotation() -> None:
    of_last_year = gpg_certificate(gpg_key("old", "ed25519", "never", "--faked-system-time", "20250101T000000!"))
    in_one = joined_certificates([of_last_year, next_signer().certificate()])
    steps = [package(of_last_year), package(in_one, is_rotating=True), package(next_signer().certificate())]
    assert keyring_deb(steps[0]) == keyring_deb(package(of_last_year))
    versions = [step.version for step in steps]
    for earlier, later in pairwise(versions):
        argv = ["dpkg", "--compare-versions", earlier, "lt", later]
        assert subprocess.run(argv).returncode == 0, versions
