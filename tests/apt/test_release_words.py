"""What a suite says of itself: apt takes either of its names, weighs it as it asks, and tells people when its words change."""

from pathlib import Path

import pytest
from tests.worlds.apt import Apt, make_apt_of
from tests.worlds.archive import make_deb
from tests.worlds.commands import CONFIG, CommandLine, command_line

HELLO = {version: make_deb("hello", version) for version in ("1.0", "2.0")}


def config(*, suite: str = "", archive: str = "", **other: str) -> str:
    """Give a configuration with these settings of the suite devel, of its archive, and of suites by name."""
    text = CONFIG.replace("[suite.devel]\n", f"[suite.devel]\n{suite}\n").replace(
        'label = "Petrel"\n', f'label = "Petrel"\n{archive}\n', 1
    )
    for name, settings in other.items():
        text = text.replace(f"[suite.{name}]\n", f"[suite.{name}]\n{settings}\n")
    return text


def publish(folder: Path, text: str) -> CommandLine:
    """Make an installation with hello 1.0 in devel, served."""
    line = command_line(folder, text)
    line.publish("devel", HELLO["1.0"])
    return line


def change(line: CommandLine, text: str) -> None:
    """Let a configuration be in force and serve devel as it says."""
    line.configure(text)
    line.publish("devel")


def apt_for(line: CommandLine, folder: Path, suite: str = "devel", *more: str) -> Apt:
    url = f"copy:{line.state}/public/petrel"
    return make_apt_of(folder, line.run("archive", "sources", "petrel", suite, "--url", url, *more).text)


def said(apt: Apt, *options: str) -> list[str]:
    """Update; give what apt tells a person at a terminal, notices too, without the address."""
    updated = apt.run("apt-get", "--error-on=any", "-o", "quiet=0", "-o", "quiet::NoProgress=1", *options, "update")
    return [" ".join(word for word in line.split() if "copy:" not in word) for line in updated.complaints]


@pytest.mark.parametrize("name", ["devel", "petrel-2"])
def test_both_names_of_a_suite_are_taken_without_a_warning(tmp_path: Path, name: str) -> None:
    line = publish(tmp_path, config(suite='codename = "petrel-2"\nversion = "2.1"'))
    apt = apt_for(line, tmp_path / "apt", name)
    assert (said(apt), apt.candidates()) == ([], ["hello 1.0"])
    policy = apt.run("apt-cache", "policy").stdout
    assert "release v=2.1,o=Petrel,a=devel,n=petrel-2,l=Petrel,c=main,b=amd64" in policy
    line.publish("devel", HELLO["2.0"])
    assert (said(apt), apt.candidates()) == ([], ["hello 2.0"])
    assert apt.plan("install", "hello/petrel-2") == ["hello (2.0 Petrel:2.1/devel [amd64])"]


def test_snapshot_has_both_names_too(tmp_path: Path) -> None:
    line = publish(tmp_path, config(suite='codename = "petrel-2"'))
    assert line.run("snapshot", "take", "petrel", "--serial", "2030010101", "--publish").exit_code == 0
    line.publish("devel", HELLO["2.0"])
    apt = apt_for(line, tmp_path / "apt", "petrel-2", "--serial", "2030010101")
    assert (said(apt), apt.candidates()) == ([], ["hello 1.0"])


def test_branch_of_a_suite_has_a_name_of_its_own_only(tmp_path: Path) -> None:
    line = publish(tmp_path, config(suite='codename = "petrel-2"'))
    assert line.run("suite", "branch", "devel", "petrel-2").said == "petrel-2 is the codename of suite petrel/devel"
    assert line.run("suite", "branch", "devel", "topic", "--kind", "base").exit_code == 0
    line.publish("topic")
    apt = apt_for(line, tmp_path / "apt", "topic")
    assert (said(apt), apt.candidates()) == ([], ["hello 1.0"])


def test_third_name_is_a_conflict_to_apt(tmp_path: Path) -> None:
    line = publish(tmp_path, config(suite='codename = "petrel-2"'))
    (line.state / "public/petrel/dists/petrel-3").symlink_to("devel")
    apt = apt_for(line, tmp_path / "apt")
    sources = apt.folder / "etc/sources.list.d/petrel.sources"
    sources.write_text(sources.read_text().replace("Suites: devel", "Suites: petrel-3"))
    assert said(apt) == ["W: Conflicting distribution: petrel-3 InRelease (expected petrel-3 but got petrel-2)"]


def test_codename_goes_from_one_suite_to_another(tmp_path: Path) -> None:
    """A release: what was devel becomes stable, under the name that people wrote in their sources."""
    line = publish(tmp_path, config(suite='codename = "petrel-2"'))
    apt = apt_for(line, tmp_path / "apt", "petrel-2")
    assert said(apt) == []
    line.publish("stable", HELLO["2.0"])
    line.configure(config(stable='codename = "petrel-2"'))
    line.publish("stable")
    line.publish("devel")
    assert said(apt) == ["N: Repository petrel-2 InRelease' changed its 'Suite' value from 'devel' to 'stable'"]
    assert (said(apt), apt.candidates()) == ([], ["hello 2.0"])
    assert said(apt_for(line, tmp_path / "other")) == []


def test_codename_that_no_suite_has_is_collected(tmp_path: Path) -> None:
    line = publish(tmp_path, config(suite='codename = "petrel-2"'))
    dists = line.state / "public/petrel/dists"
    assert line.run("archive", "collect", "--apply").exit_code == 0
    assert (dists / "petrel-2").readlink() == Path("devel")
    change(line, config(suite='codename = "petrel-3"'))
    assert line.run("archive", "collect", "--apply").exit_code == 0
    assert [name for name in ("petrel-2", "petrel-3", "devel") if (dists / name).exists()] == ["petrel-3", "devel"]


CAREFUL = "not_automatic = true"
BACKPORTS = "not_automatic = true\nbut_automatic_upgrades = true"


@pytest.mark.parametrize(
    ("suite", "priority", "installed", "upgraded"),
    [("", 500, True, True), (CAREFUL, 1, True, False), (BACKPORTS, 100, True, True)],
)
def test_suite_weighs_what_its_settings_say(
    tmp_path: Path, suite: str, priority: int, *, installed: bool, upgraded: bool
) -> None:
    line = publish(tmp_path, config(suite=suite))
    apt = apt_for(line, tmp_path / "apt")
    assert said(apt) == []
    assert f" {priority} copy:" in apt.run("apt-cache", "policy").stdout
    assert bool(apt.plan("install", "hello")) is installed
    line.publish("devel", HELLO["2.0"])
    assert said(apt) == []
    apt.install(HELLO["1.0"])
    assert bool(apt.plan("upgrade")) is upgraded


@pytest.mark.parametrize(
    ("before", "after", "option", "told"),
    [
        (
            config(),
            config().replace('origin = "Petrel"', 'origin = "Auk"'),
            "origin",
            "changed its 'Origin' value from 'Petrel' to 'Auk'",
        ),
        (
            config(),
            config().replace('label = "Petrel"', 'label = "Auk"'),
            "label",
            "changed its 'Label' value from 'Petrel' to 'Auk'",
        ),
        (
            config(),
            config(suite='codename = "petrel-2"'),
            "codename",
            "changed its 'Codename' value from 'devel' to 'petrel-2'",
        ),
        (
            config(),
            config(suite=CAREFUL),
            "defaultpin",
            "changed its default priority for apt_preferences(5) from 500 to 1.",
        ),
        (
            config(suite='version = "1"'),
            config(suite='version = "2"'),
            "",
            "changed its 'Version' value from '1' to '2'",
        ),
        (config(), config(suite='description = "Another one"'), "", ""),
    ],
)
def test_change_of_words_is_what_apt_tells_people(
    tmp_path: Path, before: str, after: str, option: str, told: str
) -> None:
    """docs/how-to/suites.md says which of these a person has to accept on every machine."""
    line = publish(tmp_path, before)
    apt = apt_for(line, tmp_path / "apt")
    assert said(apt) == []
    change(line, after)
    if not option:
        assert said(apt) == ([f"N: Repository devel InRelease' {told}"] if told else [])
    else:
        assert said(apt)[0] == f"E: Repository devel InRelease' {told}"
        assert said(apt, f"--allow-releaseinfo-change-{option}", "-o", "quiet::ReleaseInfoChange=true") == []
    assert said(apt) == []


NEXT = 'next_key = { credential = "petrel-next" }\nsigned_by = true'


@pytest.mark.parametrize(("suite", "is_bound"), [("valid_days = 7", True), ("", False)])
def test_release_that_names_its_keys_binds_a_client_that_names_none(
    tmp_path: Path, suite: str, *, is_bound: bool
) -> None:
    """Such a client trusts every key of its keyring, until a Release says which are those of this archive; apt heeds it while it
    is valid, and not at all where it never ends, so that a lost key does not shut clients out for ever."""
    line = publish(tmp_path, config(suite=suite, archive="signed_by = true"))
    apt = apt_for(line, tmp_path / "apt")
    sources = apt.folder / "etc/sources.list.d/petrel.sources"
    sources.write_text(sources.read_text().partition("Signed-By:")[0])
    trusted = apt.folder / "etc/trusted.gpg.d"
    trusted.mkdir()
    for archive in ("petrel", "other"):
        (trusted / f"{archive}.asc").write_text(line.run("archive", "key", archive).text)
    apt.configure(f'Dir::Etc::trustedparts "{trusted}";')
    assert said(apt) == []
    other = config(suite=suite).replace('key = { credential = "petrel" }', 'key = { credential = "other" }')
    line.configure(other)
    line.publish("devel", HELLO["2.0"])
    assert bool(said(apt)) is is_bound
    assert apt.candidates() == ["hello 1.0" if is_bound else "hello 2.0"]


def test_keys_change_while_release_names_both(tmp_path: Path) -> None:
    line = publish(tmp_path, config(archive="signed_by = true"))
    apt = apt_for(line, tmp_path / "apt")
    assert said(apt) == []
    release = line.state / "public/petrel/dists/devel/Release"
    assert [len(key) for key in named_keys(release)] == [40]
    line.configure(config(archive=NEXT))
    assert line.run("archive", "key", "petrel", "--make").exit_code == 0
    line.publish("devel")
    assert [len(key) for key in named_keys(release)] == [40, 40]
    assert said(apt) == []


def named_keys(release: Path) -> list[str]:
    """Give the fingerprints of Signed-By."""
    found = [text.partition(": ")[2] for text in release.read_text().splitlines() if text.startswith("Signed-By:")]
    return found[0].split(",")
