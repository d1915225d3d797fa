"""apt reads recorded archives by the sources that are handed out: with the key that signs exactly what is served."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.worlds.apt import Apt, make_apt
from tests.worlds.archive import DATE, DAY, Upstream, make_deb, make_source, signer
from tests.worlds.installation import CONFIG
from tests.worlds.recorded import RecordedArchive, recorded_archive

from distwright.archive.prolonging import prolong_recorded
from distwright.archive.snapshots import PoolChoice
from distwright.archive.tags import TagRequest, tag_snapshots
from distwright.config.load import parse_config
from distwright.errors import NotFound
from distwright.model.digests import canonical_json
from distwright.site.handing_out import Handout

MANIFEST = canonical_json({"format": 1, "image": "x", "states": {}, "packages": [], "mentioned": ["hello"]})


@pytest.fixture
def archive(tmp_path: Path) -> RecordedArchive:
    upstream = Upstream(valid_days=7)
    upstream.add(make_deb("hello"), make_source("hello"))
    upstream.publish(DATE)
    return recorded_archive(tmp_path / "state", upstream)


def handout(archive: RecordedArchive) -> Handout:
    context = archive.context
    return Handout(
        context.database, context.objects, context.config, lambda *names: signer(names[0]).certificate(), context.now
    )


def reads(folder: Path, text: str) -> tuple[list[str], list[str]]:
    """Say what an apt that has these sources complains of, and what it could install."""
    apt: Apt = make_apt(folder, "copy:/nowhere", b"")
    (folder / "etc" / "sources.list").unlink()
    (folder / "etc" / "sources.list.d").mkdir()
    (folder / "etc" / "sources.list.d" / "debian.sources").write_text(text)
    conf = folder / "apt.conf"
    conf.write_text(conf.read_text() + 'Acquire::Check-Valid-Until "false";\n')
    return apt.update().complaints, apt.candidates()


@pytest.mark.parametrize("state", ["tag", "filtered", "prolonged"])
def test_what_we_sign_is_handed_out_with_our_key(archive: RecordedArchive, tmp_path: Path, state: str) -> None:
    serial = archive.record(PoolChoice(("hello",), is_filtered=True) if state == "filtered" else None).row.serial
    tag = ""
    if state == "tag":
        tag_snapshots(TagRequest(("debian",), "one", MANIFEST), archive.context)
        tag = "one"
    elif state == "filtered":
        table = archive.context.config.archives["debian"].model_copy(update={"serve": "filtered"})
        archives = {**archive.context.config.archives, "debian": table}
        archive.context.config = replace(archive.context.config, archives=archives)
    else:
        prolong_recorded(archive.context, "debian", serial, 3650, "mirror")
        archive.context.clock += 8 * DAY
    with archive.served() as url:
        text = handout(archive).sources("debian", "stable", url, serial="" if tag else serial, tag=tag)
        assert reads(tmp_path / "apt", text) == ([], ["hello 1.0"])


def test_what_upstream_signed_is_handed_out_with_upstreams_keyring(archive: RecordedArchive, tmp_path: Path) -> None:
    serial = archive.record().row.serial
    keyring = tmp_path / "upstream.asc"
    keyring.write_bytes(signer("upstream").certificate())
    text = CONFIG.replace("/usr/share/keyrings/debian-archive-keyring.gpg", str(keyring), 1)
    archive.context.config = parse_config([("distwright.toml", text)])
    with archive.served() as url:
        for number, given in enumerate(("", serial)):
            text = handout(archive).sources("debian", "stable", url, serial=given)
            assert f"Signed-By: {keyring}\n" in text
            assert reads(tmp_path / f"apt{number}", text) == ([], ["hello 1.0"])


def test_a_suite_that_a_snapshot_has_not_is_not_handed_out(archive: RecordedArchive) -> None:
    serial = archive.record().row.serial
    for suite, given in (("nobody", serial), ("stable", "2020010101"), ("nobody", "")):
        with pytest.raises(NotFound):
            handout(archive).sources("debian", suite, "http://x.example", serial=given)
