"""Where this machine fetches an archive now, whatever it was recorded from."""

from tests.worlds.installation import CONFIG

from distwright.config.load import parse_config
from distwright.mirrors import present_mirrors

FETCHING = CONFIG.replace(
    'origin = "Debian"\n', 'origin = "Debian"\nfetch_from = "https://mirror.example/debian/"\n', 1
)


def test_fetch_from_counts_and_what_was_given_for_this_command_before_it() -> None:
    config = parse_config([("distwright.toml", FETCHING)])
    assert present_mirrors(config, {}, "debian") == ["https://mirror.example/debian"]
    given = {"debian": "https://here.example/debian/"}
    assert present_mirrors(config, given, "debian") == ["https://here.example/debian"]


def test_own_and_unknown_archives_have_no_mirror() -> None:
    config = parse_config([("distwright.toml", FETCHING)])
    assert [present_mirrors(config, {}, name) for name in ("petrel", "nowhere")] == [[], []]
