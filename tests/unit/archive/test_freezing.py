"""What freezing makes of the pins of a branch, and what a branch is refused, as the tables say."""

from dataclasses import replace

import pytest
from tests.worlds.installation import config

from distwright.archive.freezing import check_branch, frozen_pins, repo_of_rules, thawed_pins
from distwright.archive.pins import Freedom
from distwright.config.model import Config
from distwright.errors import BadUsage, NotFound, Refused
from distwright.model.serials import Serial

OLD, NEW = Serial("2024011001"), Serial("2024020101")
NEWEST = {"debian": NEW, "security": NEW, "petrel": NEW}


def configured(*, uses: tuple[str, ...] = ("debian/stable", "petrel/devel")) -> Config:
    """Give a configuration where security updates stay latest, stable must be frozen, and the image uses this."""
    made = config()
    security = made.archives["security"].model_copy(update={"stays_latest": True})
    image = made.images["petrel"].model_copy(update={"from_": uses})
    live = made.repos["live"].model_copy(update={"frozen": ("stable",), "thawed": ("main",)})
    return replace(
        made,
        archives={**made.archives, "security": security},
        images={"petrel": image},
        repos={**made.repos, "live": live},
    )


def test_every_upstream_archive_is_pinned_but_those_that_stay_latest() -> None:
    assert frozen_pins(configured(), {}, NEWEST) == {"debian": NEW, "security": None}
    assert frozen_pins(configured(), {"debian": OLD}, NEWEST) == {"debian": OLD, "security": None}
    assert frozen_pins(configured(), {}, NEWEST, also_security=True) == {"debian": NEW, "security": NEW}
    assert frozen_pins(configured(), {}, NEWEST, names=["security"]) == {"security": NEW}
    assert frozen_pins(configured(), {"debian": OLD}, NEWEST, at={"debian": NEW}) == {"debian": NEW, "security": None}
    assert frozen_pins(configured(), {}, {}, at={"debian": OLD}) == {"debian": OLD}


def test_an_archive_without_a_snapshot_or_of_ours_is_not_pinned() -> None:
    with pytest.raises(NotFound, match="archive debian has no snapshot"):
        frozen_pins(configured(), {}, {})
    for name in ("petrel", "nothing"):
        with pytest.raises(NotFound, match="is no upstream archive"):
            frozen_pins(configured(), {}, NEWEST, names=[name])
        with pytest.raises(NotFound, match="is no upstream archive"):
            thawed_pins(configured(), {}, [name])


def test_thawing_leaves_alone_what_was_not_named() -> None:
    pins = {"debian": OLD, "security": OLD}
    assert thawed_pins(configured(), pins) == {"debian": None, "security": None}
    assert thawed_pins(configured(), pins, ["debian"]) == {"debian": None, "security": OLD}
    assert thawed_pins(configured(), {}) == {}


def test_only_what_the_images_use_must_be_frozen_but_nothing_that_must_be_thawed_is() -> None:
    assert check_branch(configured(), {"debian": OLD}, "stable", None) is Freedom.FROZEN
    assert check_branch(configured(), {}, "topic", None) is Freedom.ANY
    assert check_branch(configured(), {}, None, None) is Freedom.ANY
    with pytest.raises(Refused, match="branch stable must be frozen"):
        check_branch(configured(), {}, "stable", None)
    with pytest.raises(Refused, match="branch main must not be frozen"):
        check_branch(configured(), {"security": OLD}, "main", "live")


def test_the_rules_are_those_of_one_repo() -> None:
    made = configured()
    other = made.images["petrel"].model_copy(update={"repo": "greeter"})
    several = replace(made, images={**made.images, "other": other})
    with pytest.raises(BadUsage, match="these repos have recipes: greeter, live"):
        check_branch(several, {}, "main", None)
    assert check_branch(several, {}, "main", "live") is Freedom.THAWED
    assert check_branch(several, {}, "main", "greeter") is Freedom.ANY
    with pytest.raises(NotFound, match="repo 'nothing' is not configured"):
        check_branch(several, {}, "main", "nothing")
    assert check_branch(replace(made, images={}), {}, "stable", None) is Freedom.ANY
    assert repo_of_rules(replace(made, images={}), None) is None
    assert (
        check_branch(replace(made, images={}, repos={"live": made.repos["live"]}), {}, "stable", None) is Freedom.FROZEN
    )
    assert repo_of_rules(several, "greeter") == "greeter"
