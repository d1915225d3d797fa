"""Which keys may sign an archive: real keys of gpg and ours, as apt of Debian 12 and 13 judge them."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.worlds.keys import gpg, gpg_certificate, gpg_home, gpg_key, signer

from distwright.errors import Refused
from distwright.signing.policy import examine_certificates, refuse_weak_key

GOOD = ("ed25519", "nistp256", "nistp384", "nistp521", "rsa3072", "rsa4096")


def now() -> datetime:
    return datetime.now(UTC)


def judged(fingerprint: str, at: datetime | None = None) -> list[tuple[str, str]]:
    found = examine_certificates(gpg_certificate(fingerprint), at or now())
    assert {finding.subject for finding in found} <= {fingerprint}
    return [(finding.kind, finding.evidence) for finding in found]


def test_key_that_we_make_is_good() -> None:
    assert examine_certificates(signer("petrel").certificate(), now()) == []


@pytest.mark.parametrize("algorithm", GOOD)
def test_good_algorithm_passes(algorithm: str) -> None:
    assert judged(gpg_key(f"good-{algorithm}", algorithm)) == []


@pytest.mark.parametrize(
    ("algorithm", "kind", "evidence"),
    [
        ("rsa1024", "key-refused", "is rsa1024, which apt refuses"),
        ("dsa2048", "key-refused", "is dsa, which apt refuses"),
        ("secp256k1", "key-refused", "is a curve that few know, which apt refuses"),
        ("rsa2048", "key-ends-soon", "is rsa2048, which apt refuses from 2030-02-01 on"),
        ("brainpoolP256r1", "key-ends-soon", "is brainpoolP256r1, which apt refuses from 2028-02-01 on"),
    ],
)
def test_weak_algorithm_is_named(algorithm: str, kind: str, evidence: str) -> None:
    at = datetime(2027, 1, 1, tzinfo=UTC)
    assert (kind, evidence) in judged(gpg_key(f"weak-{algorithm}", algorithm), at)


def test_algorithm_is_refused_from_its_policy_date_on() -> None:
    fingerprint = gpg_key("weak-rsa2048", "rsa2048")
    at = datetime(2030, 2, 1, tzinfo=UTC)
    assert judged(fingerprint, at) == [("key-refused", "is rsa2048, which apt refuses since 2030-02-01 on")]


def test_key_bound_by_sha1_only_is_refused() -> None:
    fingerprint = gpg_key("bound", "rsa3072", "never", "--cert-digest-algo", "SHA1")
    assert judged(fingerprint) == [("key-refused", "has its key bound by SHA1 only, which apt refuses")]
    with pytest.raises(
        Refused, match=rf"archive petrel must not sign an archive:\n  key {fingerprint} has its key bound"
    ):
        refuse_weak_key(gpg_certificate(fingerprint), now(), "archive petrel")


def test_end_of_a_key_is_told_a_month_ahead_and_refused_after() -> None:
    fingerprint = gpg_key("ending", "ed25519", "60d")
    end = now() + timedelta(days=60)
    assert judged(fingerprint) == []
    assert judged(fingerprint, end - timedelta(days=32)) == []
    day = f"{end:%Y-%m-%d}"
    assert judged(fingerprint, end - timedelta(days=30)) == [("key-ends-soon", f"expires on {day}")]
    assert judged(fingerprint, end + timedelta(minutes=5)) == [("key-refused", f"expired on {day}")]


def test_later_end_counts_after_it_was_prolonged() -> None:
    fingerprint = gpg_key("prolonged", "ed25519", "20d")
    assert [kind for kind, _ in judged(fingerprint)] == ["key-ends-soon"]
    gpg("--faked-system-time", f"{int(now().timestamp()) + 60}!", "--quick-set-expire", fingerprint, "3y")
    assert judged(fingerprint) == []


def test_end_of_the_only_signing_subkey_counts() -> None:
    fingerprint = gpg_key("with-subkey", "ed25519")
    gpg("--quick-add-key", fingerprint, "ed25519", "sign", "10d")
    assert [kind for kind, _ in judged(fingerprint)] == ["key-ends-soon"]
    gpg("--quick-add-key", fingerprint, "ed25519", "sign", "never")
    assert judged(fingerprint) == []


def test_weak_subkey_is_refused_with_a_good_primary_key() -> None:
    fingerprint = gpg_key("weak-subkey", "ed25519")
    gpg("--quick-add-key", fingerprint, "rsa1024", "sign", "never")
    assert judged(fingerprint) == [("key-refused", "is rsa1024, which apt refuses")]


def test_each_of_several_certificates_is_judged() -> None:
    weak = gpg_key("weak-rsa1024", "rsa1024")
    both = signer("petrel").certificate() + gpg_certificate(weak)
    assert [finding.subject for finding in examine_certificates(both, now())] == [weak]


def test_revoked_key_is_refused() -> None:
    fingerprint = gpg_key("revoked")
    text = (gpg_home() / "openpgp-revocs.d" / f"{fingerprint.upper()}.rev").read_text().replace(":-----", "-----")
    gpg("--import", stdin=text.encode())
    assert ("key-refused", "is revoked") in judged(fingerprint)
