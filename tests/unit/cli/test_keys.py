"""`distwright key`: whoever begins an installation makes its keys by a command, and nothing is built that could not be signed."""

from pathlib import Path

import pytest
from tests.worlds.archive import UpstreamFetcher
from tests.worlds.based import TERN, Based, record_all
from tests.worlds.commands import CommandLine, command_line
from tests.worlds.installation import CONFIG, WorldContext
from tests.worlds.keys import gpg_home, gpg_key
from tests.worlds.suite import OwnSuite
from tests.worlds.times import NOW

from distwright.app import open_app
from distwright.builds.destinations import BUILD_KIND, TRY_KIND
from distwright.config.load import parse_config
from distwright.flow.advance import unanswered
from distwright.flow.keys import KeyMissing, keys_of_config
from distwright.images.forms import BUILD_KIND as IMAGE_KIND
from distwright.images.forms import LAYER_KIND
from distwright.images.kits import KIND as KIT_KIND
from distwright.jobs.order import JobOrder
from distwright.jobs.step import KindName
from distwright.site.doctor import examine_state
from distwright.store.paths import StatePaths


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    return command_line(tmp_path, CONFIG, keys=())


def test_each_key_that_the_configuration_needs_is_made_once(line: CommandLine) -> None:
    listed = line.run("key", "list", as_json=True)
    assert listed.exit_code == 1
    assert [(row["key"], row["signs"], row["state"]) for row in listed.answer] == [
        ("builder", "built packages", "missing"),
        ("image", "images and their upgrades", "missing"),
        ("petrel", "archive petrel", "missing"),
    ]
    assert line.run("key", "make", "image").exit_code == 0
    first = {row["key"]: row["fingerprints"] for row in line.run("key", "list", as_json=True).answer}
    assert [len(prints) for prints in first.values()] == [0, 1, 0]
    made = line.run("key", "make", as_json=True).answer
    assert {row["key"]: row["state"] for row in made} == {"builder": "made", "image": "was there", "petrel": "made"}
    all_ = line.run("key", "list", as_json=True)
    assert (all_.exit_code, all_.answer[1]["fingerprints"]) == (0, first["image"])
    assert {path.stat().st_mode & 0o777 for path in (line.state / "keys").iterdir()} == {0o600}


def test_a_key_that_nothing_needs_is_a_slip_and_none_is_made(line: CommandLine) -> None:
    typed = line.run("key", "make", "builder", "imgae")
    assert (typed.exit_code, typed.said) == (
        10,
        "the configuration needs no key 'imgae', but builder, image, petrel",
    )
    assert list((line.state / "keys").iterdir()) == []


def test_a_key_that_is_somewhere_else_is_not_made_here_and_one_that_cannot_be_used_is_named(line: CommandLine) -> None:
    keys = line.state / "keys"
    (keys / "image.toml").write_text(f'signer = "gpg"\nfingerprint = "{gpg_key("images")}"\nhome = "{gpg_home()}"\n')
    (keys / "builder.toml").write_text('signer = "gnupg"\n')
    made = line.run("key", "make", as_json=True).answer
    assert {row["key"]: row["state"] for row in made} == {
        "builder": "was there",
        "image": "was there",
        "petrel": "made",
    }
    listed = line.run("key", "list", as_json=True)
    states = {row["key"]: row["state"] for row in listed.answer}
    assert (listed.exit_code, states["image"], states["petrel"]) == (1, "there", "there")
    assert 'must say signer = "gpg" or signer = "command"' in states["builder"]


def test_what_systemd_brings_is_there(line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "image").write_bytes(b"x")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    made = line.run("key", "make", as_json=True).answer
    assert {row["key"]: row["state"] for row in made}["image"] == "was there"


def test_keys_are_needed_for_what_is_configured_alone() -> None:
    text = 'format = 1\n[site]\nname = "P"\n'
    assert keys_of_config(parse_config([("d.toml", text)])) == []
    without_images = CONFIG[: CONFIG.index("[image.petrel]")]
    assert [key.credential for key in keys_of_config(parse_config([("d.toml", without_images)]))] == [
        "builder",
        "petrel",
    ]


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        (IMAGE_KIND, "image"),
        (LAYER_KIND, "image"),
        (KIT_KIND, "image"),
        (BUILD_KIND, "builder and key petrel"),
    ],
)
def test_nothing_is_ordered_that_could_not_be_signed(line: CommandLine, kind: KindName, missing: str) -> None:
    app = open_app(str(line.state))
    order = JobOrder(kind, {"archive": "petrel"}, "make something")
    with pytest.raises(
        KeyMissing, match=f"key {missing} is not there, which must sign what “make something” makes"
    ) as no:
        app.place(order)
    assert no.value.hint == f"distwright key make {missing.replace(' and key', '')}"
    assert line.run("job", "list", as_json=True).answer == []
    app.make_keys(no.value.hint.split()[3:])
    assert app.place(order).title == "make something"
    app.database.close()


def test_what_is_only_tried_needs_no_key(line: CommandLine) -> None:
    app = open_app(str(line.state))
    assert app.place(JobOrder(TRY_KIND, {"archive": "", "repo": ""}, "try something")).title == "try something"
    app.database.close()


def test_what_a_push_would_build_waits_for_the_key_and_comes_by_itself_when_it_is_made(line: CommandLine) -> None:
    app = open_app(str(line.state))
    context = WorldContext(app.paths, app.database, app.objects, UpstreamFetcher({}))
    world = Based(context, OwnSuite(context))
    world.hold(TERN)
    world.push()
    record_all(context)
    app.take_in()
    with app.database.read() as tx:
        reasons = [row.reason for row in unanswered(tx)]
    assert reasons, "the push must wait"
    assert all("key image is not there" in reason and "distwright key make image" in reason for reason in reasons)
    assert not [row for row in line.run("job", "list", as_json=True).answer if row["kind"] == "image.build"]
    assert line.run("key", "make", "image").exit_code == 0
    app.take_in()
    assert [row["kind"] for row in line.run("job", "list", as_json=True).answer].count("image.build") == 1
    app.database.close()


def test_who_may_not_look_is_told_so_and_hears_of_no_missing_keys(line: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "distwright.toml").write_text(CONFIG)
    keys = line.state / "keys"
    keys.rename(line.state / "elsewhere")  # root may look into every folder: only one that is not there shows none
    checked = line.run("config", "check", "--config", str(tmp_path), as_json=True)
    assert (checked.exit_code, checked.answer["missing_keys"]) == (0, [])
    found = {finding.check: finding for finding in examine_state(StatePaths(line.state), NOW)}["keys"]
    assert (found.state, found.what) == ("note", f"{keys} is not ours to look into")


def test_the_doctor_and_the_configuration_name_the_keys_that_are_missing(line: CommandLine, tmp_path: Path) -> None:
    app = open_app(str(line.state))
    found = {finding.check: finding for finding in examine_state(app.paths, app.now())}["keys"]
    assert (found.state, found.hint) == ("wrong", "distwright key make builder image petrel")
    assert "key image is missing, which signs images and their upgrades" in found.what
    (tmp_path / "distwright.toml").write_text(CONFIG)
    checked = line.run("config", "check", "--config", str(tmp_path))
    assert "distwright key make builder image petrel" in checked.text
    checked = line.run("config", "check", "--config", str(tmp_path), as_json=True)
    assert checked.answer["missing_keys"] == ["builder", "image", "petrel"]
    app.make_keys()
    found = {finding.check: finding for finding in examine_state(app.paths, app.now())}["keys"]
    assert (found.state, found.what) == ("well", "those that the configuration needs are here: builder, image, petrel")
    assert line.run("config", "check", "--config", str(tmp_path), as_json=True).answer["missing_keys"] == []
    app.database.close()
