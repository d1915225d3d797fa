"""What changes between two configurations."""

from tests.unit.config.worlds import GOOD, good_config

from distwright.config.difference import Change, changed_tables
from distwright.config.load import parse_config


def test_the_first_config_adds_everything_in_the_order_of_dependence() -> None:
    assert changed_tables(None, good_config()) == (
        Change("add", "site", "", ""),
        Change("add", "archive", "debian", ""),
        Change("add", "archive", "petrel", ""),
        Change("add", "suite", "devel", ""),
        Change("add", "repo", "greeter", ""),
        Change("add", "repo", "live", ""),
        Change("add", "environment", "build", ""),
        Change("add", "image", "petrel", ""),
        Change("add", "person", "ada", ""),
    )


def test_the_same_tables_elsewhere_are_no_change() -> None:
    cut = GOOD.index("[repo.greeter]")
    moved = parse_config([("b.toml", "format = 1\n" + GOOD[cut:]), ("c.toml", "\n" + GOOD[:cut])])
    assert changed_tables(good_config(), moved) == ()


def test_a_change_names_each_setting_with_old_and_new_value() -> None:
    new = good_config(
        ("valid_days = 30", 'description = "next"'),
        ('["bookworm", "bookworm-updates"]', '["bookworm"]'),
        ("http://mirror.example/debian", "file:///srv/debian"),
    )
    assert changed_tables(good_config(), new) == (
        Change(
            "change",
            "archive",
            "debian",
            'suites: ["bookworm", "bookworm-updates"] -> ["bookworm"]; '
            'fetch_from: "http://mirror.example/debian" -> "file:///srv/debian"',
        ),
        Change("change", "suite", "devel", 'description: unset -> "next"; valid_days: 30 -> unset'),
    )


def test_what_is_removed_comes_last_and_backwards() -> None:
    small = parse_config([("d.toml", 'format = 1\n[site]\nname = "Petrel"\n[repo.new]\n')])
    assert [(change.action, change.table, change.name) for change in changed_tables(good_config(), small)] == [
        ("add", "repo", "new"),
        ("remove", "person", "ada"),
        ("remove", "image", "petrel"),
        ("remove", "environment", "build"),
        ("remove", "repo", "live"),
        ("remove", "repo", "greeter"),
        ("remove", "suite", "devel"),
        ("remove", "archive", "petrel"),
        ("remove", "archive", "debian"),
    ]


def test_an_archive_that_becomes_another_kind_says_so() -> None:
    lines = 'format = 1\n[site]\nname = "P"\n[archive.a]\n'
    own = 'kind = "own"\norigin = "P"\nlabel = "P"\nkey = { credential = "k" }\n'
    upstream = 'kind = "upstream"\nsuites = ["sid"]\nkeyring = "k.gpg"\n'
    old, new = parse_config([("d", lines + own)]), parse_config([("d", lines + upstream)])
    (change,) = changed_tables(old, new)
    assert change.detail.startswith('kind: "own" -> "upstream"; ')
    assert 'key: { credential = "k" } -> unset' in change.detail


def test_long_values_are_cut() -> None:
    many = ", ".join(f'"suite-{number}"' for number in range(100))
    new = good_config(('suites = ["bookworm"', f'suites = [{many}, "bookworm"'))
    (change,) = changed_tables(good_config(), new)
    assert len(change.detail) < 300
    assert change.detail.endswith("…")
