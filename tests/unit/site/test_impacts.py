"""From words to the question of an impact: where a candidate goes, and what it can be."""

import pytest
from tests.worlds.installation import CONFIG, config

from distwright.config.load import parse_config
from distwright.config.model import Config
from distwright.errors import BadUsage, NotFound
from distwright.site.impacts import environment_for

MORE = """
[suite.other]
archive = "petrel"
environment = "tools"
[suite.bare]
archive = "petrel"
"""


def parsed(text: str) -> Config:
    return parse_config([("distwright.toml", text)])


def test_a_source_of_ours_goes_where_its_repo_says() -> None:
    assert environment_for(config(), "greeter", None) == ("build", "petrel/devel")


def test_another_source_goes_where_all_ours_go() -> None:
    assert environment_for(config(), "tally", None) == ("build", "petrel/devel")


def test_what_is_not_clear_is_asked() -> None:
    two = CONFIG.replace(
        "[repo.live]", '[repo.second]\npackage = true\nsuite = "other"\nenvironment = "tools"\n[repo.live]'
    )
    with pytest.raises(BadUsage, match=r"not clear which suite tally is for \(devel, other\)"):
        environment_for(parsed(two + MORE), "tally", None)
    assert environment_for(parsed(two + MORE), "greeter", None) == ("build", "petrel/devel")
    assert environment_for(parsed(two + MORE), "tally", "other") == ("tools", "petrel/other")


def test_a_suite_says_where_its_packages_are_built() -> None:
    more = parsed(CONFIG + MORE)
    assert environment_for(more, "tally", "devel") == ("build", "petrel/devel"), "by the repo that builds for it"
    assert environment_for(more, "tally", "other") == ("tools", "petrel/other")
    with pytest.raises(NotFound, match="nothing is built for suite bare"):
        environment_for(more, "tally", "bare")
    with pytest.raises(NotFound, match="suite 'gone' is not configured"):
        environment_for(more, "tally", "gone")
