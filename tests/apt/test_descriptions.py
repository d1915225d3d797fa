"""apt shows descriptions of what a filtered or tagged snapshot has, in every language that was recorded, and of nothing else."""

import hashlib
import lzma
from pathlib import Path

import pytest
from tests.apt.test_recorded_archive import (
    GLUE,
    HELLO,
    HELLO_SOURCE,
    OTHER,
    OTHER_SOURCE,
    manifest_of,
    tagged,
    updated,
    upstream,
)
from tests.worlds.apt import Apt
from tests.worlds.archive import DATE, Upstream, make_deb, make_source
from tests.worlds.recorded import apt_of, recorded_archive
from tests.worlds.suite import own_suite

from distwright.archive.adding import add_packages, files_below
from distwright.archive.snapshots import PoolChoice


def described(apt: Apt, package: str, language: str) -> str:
    """Give the description that apt shows in a language."""
    shown = apt.run("apt-cache", "-o", f"Acquire::Languages={language}", "show", package).stdout
    return shown.partition(f"Description-{language}: ")[2].partition("\n")[0]


@pytest.mark.parametrize("way", ["filtered", "tagged"])
def test_chosen_packages_bring_their_descriptions_and_no_others(tmp_path: Path, way: str) -> None:
    digests = {name: hashlib.md5(name.encode(), usedforsecurity=False).hexdigest() for name in ("hello", "other")}
    made = Upstream()
    for name, digest in digests.items():
        made.add(
            make_deb(name, fields={"Description": f"{name} in short", "Description-md5": digest}), make_source(name)
        )
    german = "\n".join(
        f"Package: {name}\nDescription-md5: {digest}\nDescription-de: {name} auf Deutsch\n Lang.\n"
        for name, digest in digests.items()
    )
    made.add_indexes("stable", {"main/i18n/Translation-de": german.encode()})
    made.publish(DATE)
    archive = recorded_archive(tmp_path / "state", made)
    archive.translations = ("en", "de")
    row = archive.record(PoolChoice(("hello",), is_filtered=True) if way == "filtered" else None).row
    if way == "tagged":
        hello = make_deb("hello", fields={"Description": "hello in short", "Description-md5": digests["hello"]})
        tagged(archive, manifest_of(hello, states={"debian/stable": row.digest}))
    archive.cut_off()
    below = "/snapshots/petrel-1.0" if way == "tagged" else ""
    with archive.served() as url:
        apt = apt_of(tmp_path / "apt", url + below, "mirror")
        conf = apt.folder / "apt.conf"
        conf.write_text(conf.read_text().replace('Acquire::Languages "none";', 'Acquire::Languages { "de"; "en"; };'))
        assert updated(apt) == ["hello 1.0"]
        assert described(apt, "hello", "de") == "hello auf Deutsch"
        assert described(apt, "hello", "en") == "hello of a small world"
    place = "snapshots/petrel-1.0/dists/stable" if way == "tagged" else "dists/stable"
    for language in ("en", "de"):
        text = lzma.decompress(archive.read(f"{place}/main/i18n/Translation-{language}.xz"))
        assert (text.count(b"Package: "), b"Package: hello\n" in text) == (1, True)


def test_a_tag_of_our_own_archive_has_the_descriptions_of_its_packages(tmp_path: Path) -> None:
    archive = recorded_archive(tmp_path / "state", upstream())
    suite = own_suite(tmp_path / "state", context=archive.context)
    place = tmp_path / "files"
    place.mkdir()
    for deb in (HELLO, OTHER):
        (place / deb.file_name).write_bytes(deb.content)
    for source in (HELLO_SOURCE, OTHER_SOURCE, GLUE):
        for name, content in source.files.items():
            (place / name).write_bytes(content)
    paths = files_below([str(place)])
    revision = add_packages(archive.context, "petrel", "devel", paths, link=False, actor="ada", reason="").revision
    tagged(archive, manifest_of(HELLO, states={"petrel/devel": revision}, archives=("petrel",)), "petrel", tag="one")
    folder = suite.archive / "snapshots" / "one"
    text = (folder / "dists" / "devel" / "main" / "i18n" / "Translation-en.xz").read_bytes()
    assert lzma.decompress(text).count(b"Package: ") == 1
    apt = apt_of(tmp_path / "apt", f"copy:{folder}", "petrel", suite="devel")
    conf = apt.folder / "apt.conf"
    conf.write_text(conf.read_text().replace('Acquire::Languages "none";', 'Acquire::Languages { "en"; };'))
    assert updated(apt) == ["hello 1.0"]
    assert described(apt, "hello", "en") == "hello of a small world"
