"""Requests to the archive stage, as small as they can be."""

from dataclasses import replace

from tests.worlds.archive import MIRROR, signer

from distwright.archive.judging import RecordRequest
from distwright.archive.publish import PublishRequest
from distwright.model.digests import Sha256
from distwright.signing.verify import Keyring

LISTS = ("main/binary-amd64", "main/source")
FIELDS = {"Origin": "Petrel", "Label": "Petrel", "Suite": "devel", "Codename": "devel", "Description": "a small world",
          "Snapshots": "https://deb.petrel.example/petrel/snapshots/@SNAPSHOTID@/"}  # fmt: skip


def record_request(
    url: str = MIRROR, *, suites: tuple[str, ...] = ("stable",), accept_expired: bool = False
) -> RecordRequest:
    """Ask for the upstream of the small worlds."""
    return RecordRequest(
        archive="debian",
        suites=suites,
        components=("main",),
        architectures=("amd64",),
        has_sources=True,
        translations=("en",),
        origin="Debian",
        label="Debian",
        accept_expired=accept_expired,
        url=url,
        keyring=Keyring(signer("upstream").certificate(), "debian-archive-keyring"),
    )


def publish_request(revision: Sha256, *, added: tuple[str, ...] = ()) -> PublishRequest:
    """Ask for a revision of our own suite."""
    return replace(PublishRequest("petrel", "devel", revision, LISTS, FIELDS), added=added)
