"""The root of an image: what the recipe says goes in as it is."""

import shlex

from tests.habits.samples import EARLIER, INPUTS
from tests.worlds.installation import config

from distwright.builds.environment import MMDEBSTRAP_PROGRAMS
from distwright.images.forms import form_inputs
from distwright.images.initrd import plan_initrd
from distwright.images.iso import plan_iso, plan_squashfs
from distwright.images.rootfs import plan_customise, plan_installed, plan_root
from distwright.images.usb import plan_usb
from distwright.jobs.step import Plan
from distwright.model.digests import Json, sha256_of

BUILD = INPUTS["image.build"]
WHOLE = {**BUILD, **form_inputs(config(), "petrel", "1.0"), "outputs": ["iso", "usb"]}


def tokens_in(plan: Plan) -> list[str]:
    """Give the files in which a runner would fill in places of its machine."""
    return [name for name, text in plan.write.items() if "{work}" in text or "{shelf:" in text or "{accel:" in text]


def test_a_hook_goes_in_as_it_is_even_if_it_has_a_variable_called_work() -> None:
    hook = b"#!/bin/sh\nwork=/tmp/x\nmkdir ${work}\n"
    inputs: dict[str, Json] = {**BUILD, "hooks": {"0100-a.hook.chroot": sha256_of(hook)}}
    plan = plan_customise(inputs, EARLIER)
    assert plan.place["recipe/hooks/0100-a.hook.chroot"] == sha256_of(hook)
    assert tokens_in(plan) == []


def test_no_script_of_ours_is_changed_by_the_machine_that_runs_it() -> None:
    for plan in (
        plan_root(BUILD, {}),
        plan_customise(BUILD, EARLIER),
        plan_initrd(BUILD, EARLIER),
        plan_customise(WHOLE, EARLIER),
        plan_squashfs(BUILD, EARLIER),
        plan_iso(BUILD, EARLIER),
        plan_usb(WHOLE, EARLIER),
        plan_installed({**WHOLE, "form": 2}, EARLIER),
    ):
        assert tokens_in(plan) == []


def test_a_name_with_quotes_and_dollars_is_one_word_of_grubs_menu() -> None:
    hostile = """The "Best" $ystem's\\ @ID@ {1} `x`; reboot"""
    inputs: dict[str, Json] = {**BUILD, "title": hostile, "kernel_options": ["a=$(b)", "quiet"]}
    menu = plan_iso(inputs, EARLIER).write["grub.cfg"]
    [entry] = [line for line in menu.splitlines() if line.startswith("menuentry")]
    assert shlex.split(entry) == ["menuentry", hostile, "{"]
    [linux] = [line for line in menu.splitlines() if "/live/vmlinuz" in line]
    assert shlex.split(linux) == ["linux", "/live/vmlinuz", "boot=live", "components", "a=$(b)", "quiet"]


def test_everything_that_shapes_bytes_runs_in_a_root_and_only_mmdebstrap_on_the_host() -> None:
    plans = {
        "root": plan_root(BUILD, {}),
        "customise": plan_customise(BUILD, EARLIER),
        "installed": plan_installed(BUILD, EARLIER),
        "initrd": plan_initrd(BUILD, EARLIER),
        "customise of now": plan_customise(WHOLE, EARLIER),
        "initrd of now": plan_initrd(WHOLE, EARLIER),
        "squashfs": plan_squashfs(BUILD, EARLIER),
        "iso": plan_iso(BUILD, EARLIER),
        "usb": plan_usb(WHOLE, EARLIER),
    }
    roots = {name: [command.root for command in plan.commands] for name, plan in plans.items()}
    tools, image = EARLIER["tools"].outputs["root"], EARLIER["customise"].outputs["root"]
    assert roots == {
        "root": [None], "customise": [tools], "installed": [image], "initrd": [image], "customise of now": [tools],
        "initrd of now": [EARLIER["customise"].outputs["initrd-root"]], "squashfs": [tools], "iso": [tools], "usb": [tools],
    }  # fmt: skip
    assert {name: plan.programs for name, plan in plans.items() if plan.programs} == {"root": MMDEBSTRAP_PROGRAMS}
    for name in set(plans) - {"installed"}:
        plan = plans[name]
        assert all(dict(command.environment)["SOURCE_DATE_EPOCH"] == "1704888000" for command in plan.commands)


def test_what_the_recipe_brings_is_done_to_the_packages_and_makes_none_of_them_again() -> None:
    changed: dict[str, Json] = {
        **BUILD,
        "hooks": {"0100-a.hook.chroot": sha256_of(b"other")},
        "includes": sha256_of(b"more"),
        "files": {"hostname": "other\n"},
    }
    assert plan_root(changed, {}).to_json() == plan_root(BUILD, {}).to_json()
    assert plan_customise(changed, EARLIER).to_json() != plan_customise(BUILD, EARLIER).to_json()


def test_what_comes_after_a_hook_looks_at_what_the_hook_left() -> None:
    plan = plan_customise(BUILD, EARLIER)
    assert (plan.place["root.tar"], plan.shelf, plan.programs) == (EARLIER["root"].outputs["root"], (), ())
    assert not any(command.reads_shelf for command in plan.commands)
    assert plan_squashfs(BUILD, EARLIER).place["root.tar"] == EARLIER["customise"].outputs["root"]
