"""The plan of a replay: over the root of the packages, the recipe as it is, and for a layer its packages before."""

from tests.habits.samples import EARLIER, INPUTS

from distwright.images.replay import automatic_marks, plan_base_replay, plan_layer
from distwright.images.rootfs import plan_customise
from distwright.model import plain
from distwright.model.digests import Json, sha256_of

INPUT = INPUTS["image.layer"]
A, B = sha256_of(b"a"), sha256_of(b"b")


def test_the_replay_of_a_base_is_known_whatever_lies_on_it() -> None:
    other: dict[str, Json] = {**INPUT, "packages": [], "name": "x", "files": {}, "hooks": {}, "epoch": 1, "root": {}}
    assert plan_base_replay(INPUT, EARLIER) == plan_base_replay(other, EARLIER)


def test_it_follows_the_recipe_as_a_full_build_does_over_the_root_that_the_packages_gave() -> None:
    made, full = plan_layer(INPUT, EARLIER), plan_customise(INPUT, EARLIER)
    assert made.commands[0].root == EARLIER["root"].outputs["root"]
    assert made.commands[0].environment == full.commands[0].environment
    same = {name for name in full.place if name.startswith("recipe/")}
    assert {name: made.place[name] for name in same} == {name: full.place[name] for name in same}
    for name in (
        "enter.sh",
        "recipe/etc/hostname",
        "recipe/etc/live.sources",
        "recipe/ask/cut.pl",
        "recipe/ask/installed.sh",
    ):
        assert made.write[name] == full.write[name]
    before, _, after = plan_base_replay(INPUT, EARLIER).write["recipe/apply.sh"].partition("recipe=/dev/recipe\n")
    script = made.write["recipe/apply.sh"]
    assert script.startswith(f'{before}recipe=/dev/recipe\necho "hook dpkg"\n')
    assert script.endswith(after)
    assert full.write["recipe/apply.sh"].startswith(
        before + "recipe=/dev/recipe\n" + after.partition('cd "$recipe/out"')[0]
    )


def test_packages_that_were_there_are_purged_first_and_new_ones_are_marked() -> None:
    rows: list[Json] = [
        {"name": "tern", "sha256": A, "purged": True, "automatic": False},
        {"name": "gull", "sha256": B, "purged": False, "automatic": True},
    ]
    made = plan_layer({**INPUT, "packages": rows}, EARLIER)
    assert {name: made.place[name] for name in made.place if name.endswith(".deb")} == {
        "recipe/debs/tern.deb": A, "recipe/debs/gull.deb": B,
    }  # fmt: skip
    assert made.write["recipe/purged"] == "tern"
    architecture = plain.text(plain.mapping(INPUT, "root"), "architecture")
    assert made.write["recipe/automatic"] == f"Package: gull\nArchitecture: {architecture}\nAuto-Installed: 1\n\n"
    assert automatic_marks([], "amd64") == ""


def test_only_the_replay_of_the_base_is_compared_with_what_there_is() -> None:
    assert plan_base_replay(INPUT, EARLIER).place["customised.tar"] == EARLIER["customise"].outputs["root"]
    assert "customised.tar" not in plan_layer(INPUT, EARLIER).place
    assert "cmp --silent" not in plan_layer(INPUT, EARLIER).write["replay.sh"]
