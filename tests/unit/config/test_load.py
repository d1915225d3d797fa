"""What parse_config makes of files, and how it says everything that is wrong with them."""

import json
from dataclasses import FrozenInstanceError

import pytest
from pydantic import ValidationError
from tests.unit.config.worlds import GOOD, good_config, good_with, problems_of, problems_with

from distwright.config.load import parse_config
from distwright.config.tables import Environment, Site
from distwright.config.tables_archive import Credential, OwnArchive, Suite, UpstreamArchive
from distwright.config.words import wanted
from distwright.errors import BadConfig
from distwright.model.digests import digest_of


def test_tables_become_values_with_their_defaults() -> None:
    config = good_config()
    assert config.archives == {
        "debian": UpstreamArchive(
            kind="upstream",
            suites=("bookworm", "bookworm-updates"),
            components=("main",),
            architectures=("amd64",),
            sources=True,
            translations=("en",),
            keyring="/usr/share/keyrings/debian-archive-keyring.gpg",
            accept_expired=False,
            fetch_from="http://mirror.example/debian",
        ),
        "petrel": OwnArchive(kind="own", origin="Petrel", label="Petrel", key=Credential(credential="petrel-signing")),
    }
    assert config.suites == {"devel": Suite(archive="petrel", valid_days=30)}
    assert config.environments["build"].from_ == ("debian/bookworm", "petrel/devel")
    assert config.images["petrel"].boot_timeout_s == 900
    assert config.persons["ada"].keys == ("0123456789ABCDEF0123456789ABCDEF01234567",)


def test_a_config_cannot_be_changed() -> None:
    config = good_config()
    with pytest.raises(FrozenInstanceError):
        config.site = config.site  # type: ignore[misc]
    with pytest.raises(ValidationError):
        config.site.name = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        config.suites["x"] = config.suites["devel"]  # type: ignore[index]
    assert len({config.site, config.suites["devel"], config.environments["build"]}) == 3


def test_tables_spread_over_files_give_the_same_config() -> None:
    cut = GOOD.index("[suite.devel]")
    spread = parse_config([("z.toml", GOOD[:cut]), ("a.toml", "\n" + GOOD[cut:])])
    assert spread == good_config()
    assert spread.canonical() == good_config().canonical()
    assert spread.origins["suite.devel.valid_days"] == "a.toml:4"
    assert spread.origins["site"] == "z.toml:2"


def test_origins_name_file_and_line_of_what_is_written_and_nothing_else() -> None:
    origins = good_config(("[repo.live]", '[repo."live.1+x"]'), ('repo = "live"', 'repo = "live.1+x"')).origins
    assert origins["format"] == "d.toml:1"
    assert origins["archive.debian"] == "d.toml:4"
    assert origins["archive.debian.suites"] == "d.toml:6"
    assert origins["archive.debian.suites[1]"] == "d.toml:6"
    assert origins["archive.petrel.key.credential"] == "d.toml:13"
    assert origins["repo.'live.1+x'"] == "d.toml:21"
    assert "archive.debian.components" not in origins
    assert "archive" not in origins


def test_canonical_form_has_defaults_and_not_where_this_machine_fetches() -> None:
    plain = json.loads(json.dumps(good_config().canonical()))
    assert plain["archive"]["debian"] == {
        "kind": "upstream",
        "suites": ["bookworm", "bookworm-updates"],
        "components": ["main"],
        "architectures": ["amd64"],
        "sources": True,
        "translations": ["en"],
        "keyring": "/usr/share/keyrings/debian-archive-keyring.gpg",
        "accept_expired": False,
        "udebs": False,
        "all_forms": False,
        "contents": False,
        "installer": False,
        "pool": "lazy",
        "packages": [],
        "together_with": [],
        "recommends": False,
        "pool_sources": False,
        "record_at": [],
        "serve": "upstream",
        "stays_latest": False,
    }
    assert plain["environment"]["build"]["from"] == ["debian/bookworm", "petrel/devel"]
    assert plain["format"] == 1
    elsewhere = good_config(('fetch_from = "http://mirror.example/debian"', "accept_expired = false"))
    assert digest_of(elsewhere.canonical()) == digest_of(good_config().canonical())
    assert elsewhere != good_config()


def test_everything_wrong_is_said_at_once_in_order_of_file_and_line() -> None:
    first = good_with(
        ('name = "Petrel"', 'nam = "Petrel"'),
        ('suites = ["bookworm", "bookworm-updates"]', 'suites = "bookworm"\nsources = "yes"'),
        ('archive = "petrel"', 'archive = "petrol"'),
        ("valid_days = 30", "valid_days = 99999"),
    )
    second = '[repo.x]\ndefault_branch = ["main",\n  3]\n[person.ada]\n[sute.y]\n'
    assert problems_of(first, second) == [
        f"a.toml:2 site.name: is missing; want {wanted(Site, ('name',))}",
        "a.toml:3 site.nam: is not a known key; want name (the nearest known key)",
        'a.toml:6 archive.debian.suites: is a string; want a list of suites, for example ["trixie", "trixie-updates"]',
        "a.toml:7 archive.debian.sources: is a string; want true or false",
        (
            "a.toml:16 suite.devel.archive: archive 'petrol' does not exist; "
            'want the name of an archive with kind = "own"; did you mean petrel?'
        ),
        "a.toml:17 suite.devel.valid_days: 99999 is out of bounds; want a whole number of days, 1 to 3650",
        'b.toml:2 repo.x.default_branch: is a list; want a branch, for example "main"',
        "b.toml:4 person.ada: is already at a.toml:31; want one place for each table",
        'b.toml:4 person.ada.email: is missing; want a mail address, for example "ada@example.org"',
        (
            "b.toml:4 person.ada.keys: is missing; want a list of fingerprints of 40 hexadecimal digits, "
            'for example ["0123456789ABCDEF0123456789ABCDEF01234567"]'
        ),
        'b.toml:4 person.ada.name: is missing; want a string of one line, for example "Ada Example"',
        "b.toml:5 sute: is not a known table; want suite (the nearest known name)",
    ]


def test_the_error_counts_its_problems_and_says_what_to_type() -> None:
    with pytest.raises(BadConfig, match=r"\Athe configuration has 2 problems:\n  distwright.toml:1 format: ") as caught:
        parse_config([])
    assert caught.value.hint == "correct the lines that are named, then: distwright config check"


def test_file_that_is_no_toml_gives_one_problem_and_others_are_still_checked() -> None:
    cut = GOOD.index("[suite.devel]")
    assert problems_of(GOOD[:cut] + "x = = 1\n", GOOD[cut:].replace("valid_days = 30", "valid_days = 0")) == [
        "a.toml:14 TOML: Invalid value (column 5); want valid TOML 1.0",
        "b.toml:3 suite.devel.valid_days: 0 is out of bounds; want a whole number of days, 1 to 3650",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a = [\n1\n\n", "a.toml:2 TOML: Unclosed array (at the end); want valid TOML 1.0"),
        ("[a]\n[b]\n[a]\n", "a.toml:3 TOML: this table is there twice (column 3); want valid TOML 1.0"),
        ("a = 1\na = 2\n", "a.toml:2 TOML: this key is there twice (column 6); want valid TOML 1.0"),
        ("\ufeffa = 1", "a.toml:1 TOML: Invalid statement (column 1); want valid TOML 1.0"),
        (
            "\n" + "a." * 99 + "a = 1",
            "a.toml:2 TOML: the key has more than 16 parts; want only what the settings reference lists",
        ),
        (
            "\na=" + "1" * 5000,
            "a.toml:2 TOML: the value is longer than 1000 characters; want only what the settings reference lists",
        ),
        ("#" * 1_000_001, "a.toml:1 TOML: the file has 1000001 characters; want at most 1000000"),
    ],
)
def test_broken_text_is_named_with_its_line(text: str, problem: str) -> None:
    assert problems_of(text) == [problem]


@pytest.mark.parametrize(("value", "shown"), [("2", "is the number 2"), ("0", "is the number 0")])
def test_other_formats_are_refused_naming_the_newest_known(value: str, shown: str) -> None:
    assert problems_with(("format = 1", f"format = {value}\n[from_the_future]")) == [
        (
            f"a.toml:1 format: {shown}, which this version does not understand; "
            "want format = 1, the newest that this version understands"
        )
    ]


def test_origin_of_format_is_known_where_nothing_else_is_in_the_file() -> None:
    assert parse_config([("a.toml", "\nformat = 1"), ("b.toml", GOOD.replace("format = 1\n", ""))]).origins[
        "format"
    ] == ("a.toml:2")


def test_format_and_site_are_required_once_in_all_files() -> None:
    assert problems_of() == [
        "distwright.toml:1 format: is missing; want format = 1",
        "distwright.toml:1 site: is missing; want a [site] table with a name",
    ]
    assert problems_with(("format = 1\n", "")) == ["a.toml:1 format: is missing; want format = 1"]
    assert problems_with(("format = 1", "format = true")) == ["a.toml:1 format: is true; want format = 1"]
    assert problems_of(GOOD, "format = 1\n") == []
    assert problems_of(GOOD, "") == []


@pytest.mark.parametrize("table", ["flow", "check", "mirror", "notice", "release"])
def test_known_tables_without_settings_say_so(table: str) -> None:
    assert problems_of(GOOD, f"[{table}.one]\nx = 1\n[{table}.two]\n") == [
        f"b.toml:1 {table}.one: is a known table, but has no settings in this version; want it left out",
        f"b.toml:3 {table}.two: is a known table, but has no settings in this version; want it left out",
    ]


@pytest.mark.parametrize(
    ("old", "new", "problem", "want"),
    [
        (
            'kind = "upstream"\n',
            "",
            "4 archive.debian.kind: is missing",
            '"upstream" or "own"',
        ),
        (
            '"upstream"',
            '"upstraem"',
            "5 archive.debian.kind: 'upstraem' is not known",
            '"upstream" or "own"; did you mean upstream?',
        ),
        (
            '"upstream"',
            "[1]",
            "5 archive.debian.kind: is a list",
            '"upstream" or "own"',
        ),
        (
            "fetch_from",
            "live_key",
            '8 archive.debian.live_key: belongs to kind = "own" only',
            "it left out",
        ),
        (
            '{ credential = "petrel-signing" }',
            '"petrel"',
            "13 archive.petrel.key: is a string",
            '{ credential = "name" }',
        ),
        (
            'fetch_from = "http:',
            'fetch_from = "ftp:',
            "8 archive.debian.fetch_from: 'ftp://mirror.example/debian' is not such a URL",
            wanted(UpstreamArchive, ("fetch_from",)),
        ),
        (
            "/usr/share/keyrings/debian-archive-keyring.gpg",
            "../k.gpg",
            "7 archive.debian.keyring: '../k.gpg' is not a path without '.', '..' and '//'",
            wanted(UpstreamArchive, ("keyring",)),
        ),
        (
            'recipe = "config"',
            'recipe = "/config"',
            "26 image.petrel.recipe: '/config' is an absolute path",
            "a path relative to the top of the repository, without '..', for example \"config\"",
        ),
        (
            '"petrel login:"',
            '""',
            "29 image.petrel.boot_expect: is empty",
            'a string that is not empty, for example "example login:"',
        ),
        (
            "[suite.devel]",
            '[suite."De vel"]\narchive = "petrel"\n[suite.devel]',
            "14 suite.'De vel': 'De vel' cannot be a name",
            "1 to 64 of a-z 0-9 . _ + -, beginning with a letter or digit",
        ),
        (
            'suites = ["bookworm", ',
            'suites = ["bookworm", "bookworm", ',
            "6 archive.debian.suites: 'bookworm' is in the list twice",
            'a list of suites, for example ["trixie", "trixie-updates"]',
        ),
        (
            'suites = ["bookworm", "bookworm-updates"]',
            "suites = []",
            "6 archive.debian.suites: is an empty list",
            'a list of suites, for example ["trixie", "trixie-updates"]',
        ),
        (
            'origin = "Petrel"',
            'origin = "Petrel\\nLabel: x"',
            "11 archive.petrel.origin: 'Petrel\\nLabel: x' is not one printable line of at most 500 characters",
            'a string of one line, for example "Example"',
        ),
        (
            "[repo.live]",
            "[repo.live]\nfrom_ = 1",
            "22 repo.live.from_: is not a known key",
            (
                "active_days, create, default_branch, description, documentation, environment, fetch_minutes, frozen, maintain, "
                "only_ahead, package, private, private_twin_of, protected, public, read, rebuild, rewind, suite, thawed, url, "
                "webhook or write"
            ),
        ),
        (
            "boot_expect =",
            "from_ = 1\nboot_expect =",
            "29 image.petrel.from_: is not a known key",
            "from (the nearest known key)",
        ),
        (
            "valid_days = 30",
            "valid_days = 2026-01-01",
            "16 suite.devel.valid_days: is a date or time",
            "a whole number of days, 1 to 3650",
        ),
        (
            "valid_days = 30",
            "valid_days = 30.0",
            "16 suite.devel.valid_days: is the number 30.0",
            "a whole number of days, 1 to 3650",
        ),
        (
            '"ada@example.org"',
            '"Ada <ada@example.org>"',
            "32 person.ada.email: 'Ada <ada@example.org>' is not a mail address",
            'a mail address, for example "ada@example.org"',
        ),
        (
            '"build"\n[repo',
            '"build"\n[repo]\nx = 1\n[repo',
            "22 repo.x: is the number 1",
            "a table, written [repo.NAME]",
        ),
        (
            '["bookworm", "bookworm-updates"]',
            '["bookworm",\n7]',
            "7 archive.debian.suites[1]: is the number 7",
            'a suite, for example "trixie"',
        ),
        (
            'name = "Ada"',
            'name = "Ada"\nroles = ["Chief!"]',
            "32 person.ada.roles[0]: 'Chief!' cannot be a name",
            'a name of a-z 0-9 . _ + -, for example "release-manager"',
        ),
        (
            "[person.ada]",
            "[[person.ada]]",
            "30 person.ada: is a list",
            "a table, written [person.NAME]",
        ),
    ],
)
def test_a_wrong_setting_is_named_in_plain_words(old: str, new: str, problem: str, want: str) -> None:
    assert f"a.toml:{problem}; want {want}" in problems_with((old, new))


def test_a_wrong_setting_does_not_make_others_wrong() -> None:
    one = problems_with(('suites = ["bookworm", "bookworm-updates"]', "suites = 3"))
    assert [line.split(":")[1] for line in one] == ["6 archive.debian.suites"]
    two = problems_with(('origin = "Petrel"', "origin = 3"), ('archive = "petrel"', "archive = 3"))
    assert [line.split(":")[1] for line in two] == ["11 archive.petrel.origin", "15 suite.devel.archive"]


PRIVATE = "-----BEGIN PGP PRIVATE KEY BLOCK-----\\nhunter2"


@pytest.mark.parametrize(
    ("old", "new", "start"),
    [
        ('name = "Petrel"', 'name = "Petrel"\npassword = "hunter2"', "4 site.password: is a secret in plain text"),
        ('name = "Petrel"', 'name = "Petrel"\nAPI_Token = "hunter2"', "4 site.API_Token: is a secret in plain text"),
        ('credential = "petrel-signing"', 'secret = "hunter2"', "13 archive.petrel.key.secret: is a secret in plain"),
        ('name = "Petrel"', f'name = "{PRIVATE}"', "3 site.name: is a private key"),
        ('archive = "petrel"', f'archive = "{PRIVATE}"', "15 suite.devel.archive: is a private key"),
        ('"petrel/devel"]', f'"{PRIVATE}", "{PRIVATE}"]', "23 environment.build.from[1]: is a private key"),
        ("format = 1", 'format = 1\ntoken = ["hunter2"]', "2 token[0]: is a secret in plain text"),
        ("petrel-signing", "hunter2 !", "13 archive.petrel.key.credential: cannot be a name"),
        ("http://mirror", "http://ada:hunter2@mirror", "8 archive.debian.fetch_from: has a user name or password"),
        ("http://mirror", "http://ada:hunter2/x@mirror", "8 archive.debian.fetch_from: has a user name or password"),
        ("http://mirror", "http://ada:hunter2@[mirror", "8 archive.debian.fetch_from: has a user name or password"),
        ('key = { credential = "petrel-signing" }', 'key = "hunter2"', "13 archive.petrel.key: is a string"),
    ],
)
def test_a_secret_is_refused_and_never_shown(old: str, new: str, start: str) -> None:
    problems = problems_with((old, new))
    assert any(problem.startswith(f"a.toml:{start}") for problem in problems)
    assert "hunter2" not in "\n".join(problems)
    assert "credential" in "\n".join(problems) or "password" in problems[0]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("fetch_from", "file:///srv/debian"),
        ("fetch_from", "https://[2001:db8::1]:8443/debian/"),
        ("live_url", "tor+http://example.onion/debian"),
        ("keyring", "keys/debian.gpg"),
        ("origin", "Debian Backports"),
    ],
)
def test_usual_values_are_taken(field: str, value: str) -> None:
    archive = 'kind = "upstream"\nsuites = ["bookworm/updates", "sid"]\n'
    required = "" if field == "keyring" else 'keyring = "k.gpg"\n'
    assert problems_of(GOOD, f'[archive.other]\n{archive}{required}{field} = "{value}"\n') == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("fetch_from", "file://host/srv"),
        ("fetch_from", "http:///debian"),
        ("fetch_from", "http://h/a b"),
        ("fetch_from", "http://h:0/"),
        ("fetch_from", "http://h:99999/"),
        ("live_url", "file:///srv/debian"),
        ("live_url", "https://h/?x"),
        ("keyring", "/etc//x"),
        ("keyring", "/"),
        ("keyring", ""),
        ("origin", " Debian"),
        ("suites", "[ 'x/../y' ]"),
    ],
)
def test_dangerous_values_are_refused(field: str, value: str) -> None:
    text = f'[archive.o]\nkind = "upstream"\n{field} = {json.dumps(value)}\n'
    assert any(line.startswith(f"b.toml:3 archive.o.{field}:") for line in problems_of(GOOD, text))


def test_values_made_in_code_obey_the_same_rules() -> None:
    with pytest.raises(ValidationError):
        Environment(from_=("nowhere",))
    with pytest.raises(ValidationError):
        Suite(archive="petrel", valid_days=0)
