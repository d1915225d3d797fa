"""Orders of images grow: what was ordered before a key came plans what it planned then, to the byte."""

from collections.abc import Mapping
from dataclasses import replace

from tests.habits.samples import EARLIER, EPOCH, INPUTS, RECIPE, STATE, TAR
from tests.worlds.installation import config

from distwright.images.build import IMAGE_BUILD
from distwright.images.forms import FORM, form_inputs, form_of, missing_tools, wants
from distwright.images.initrd import plan_initrd
from distwright.images.initrd_copying import PREPARE
from distwright.images.rootfs import plan_customise, plan_root
from distwright.images.usb import plan_usb
from distwright.jobs.step import Plan, Step
from distwright.model.digests import Json, digest_of, sha256_of

# As orders were before there were forms.
FORM_1: Mapping[str, Json] = {
    "image": "petrel", "name": "petrel-amd64-1.0", "commit": "0" * 40, "epoch": EPOCH, "root": RECIPE, "tools": RECIPE,
    "hooks": {"0100-a.hook.chroot": sha256_of(b"dsc")}, "files": {"hostname": "petrel\n", "live.sources": ""},
    "states": {"debian/bookworm": STATE}, "title": "Petrel 1.0", "label": "PETREL 1.0", "disk_info": "petrel-amd64-1.0",
    "kernel_options": ["quiet"], "includes": TAR,
}  # fmt: skip
PLANNED = {
    "tools": "f9e7f260769349a428928cabfa973e4b96f71929798c7593923a0bbc4dbe8717",
    "root": "99466eb943b28810f63fa96a879b482e99a29b8cd3e8fc4d75734829d2bd75d2",
    "customise": "0fde314932e834ca0e4d353644a9134ef4de964eae64e448f7828face9f4ecd4",
    "installed": "56aba7d1421c52886a3c336146a03a710c907f7303b1cf699603f54c9eea3bd4",
    "initrd": "a0cf9f371e1df686107a150feeedf51ca58fc750f3b34171eb78e3997805ae6d",
    "squashfs": "1339d02aa5b8f3a31677d62fc20bb049e2a7a513cfc4dfc5c6d2232fc806ce2a",
    "iso": "c354ea20574ff4c6855895ea49eac5b51b5ad4c9ab6b90049f0f1727a205b2d1",
}
PLANNED_MORE = {
    "installed": "2185c6ee6a3c50944cfcd86b74aa46a5a9f1a66ef17ebe7f9ded5e872b7e951e",
    "usb": "6a1b66477e7dc7410e5fdf0b4ef18f7f40aa99cfc2bd7b24497640c4ebdf9280",
}
PLANNED_IN_FORM_3 = {
    "customise": "f83ac080dcc0ef16560200a9a7421b1590400d97d1127f1f685f76dabe353784",
    "initrd": "b7de40b370a89f9b96c1a481122ccd6d699120cddf00a33ad16ceea6d10b8da8",
}
FORM_5: Mapping[str, Json] = {**FORM_1, **form_inputs(config(), "petrel", "1.0")}
FORM_4: Mapping[str, Json] = {**FORM_5, "form": 4}
FORM_3: Mapping[str, Json] = {**FORM_5, "form": 3}
FORM_2: Mapping[str, Json] = {**FORM_5, "form": 2}
PLANNED_IN_FORM_4 = {"customise": "1c5a2a4531d00ef5e9d5fb12fa5589eeeffefa1c41fabec3ef36a51c154b3830"}
PLANNED_IN_FORM_5 = {
    "root": "25329bccc2bae5c9c05951539bdae9b0af13f0cecb64a641778996005c75abd2",
    "customise": "42008c58ba53a64c617457c58da81ae6d062dd519737c33c1ba77b758803afbb",
    "initrd": "bb9c1fc1ef964d59e2f8302af9d4d92d1356b30fb04a32a6799c22dc45bbf65a",
}
NOTHING = digest_of(Plan(()).to_json())


def plans(inputs: Mapping[str, Json]) -> dict[str, str]:
    """Give the digest of each step that does something."""
    steps = [step for step in IMAGE_BUILD.steps if isinstance(step, Step)]
    found = {step.name: digest_of(step.plan(inputs, EARLIER).to_json()) for step in steps}
    return {name: str(digest) for name, digest in found.items() if digest != NOTHING}


def test_an_order_of_before_plans_what_it_planned_and_nothing_more() -> None:
    assert plans(FORM_1) == PLANNED
    assert form_of(FORM_1) == 1
    assert not wants({**FORM_1, "outputs": ["usb"]}, "usb")


def test_an_order_of_now_makes_the_image_with_the_same_steps_and_asks_more_about_it() -> None:
    assert [form_of(order) for order in (FORM_2, FORM_3, FORM_4, FORM_5)] == [2, 3, 4, FORM]
    for order in (FORM_2, FORM_3, FORM_4, FORM_5):
        made = plans(order)
        anew = {"installed"} if order is FORM_2 else {"customise", "initrd"}
        anew |= {"root"} if order is FORM_5 else set()
        assert {name for name, digest in made.items() if PLANNED.get(name) != digest} == anew
        assert set(PLANNED) - {"installed"} <= set(made)


def test_what_form_2_plans_beyond_that_stays_what_it_is_too() -> None:
    """Recorded like those of kinds (tests/habits/test_kind_versions.py): a change wants a new form once it was in a release."""
    made = plans({**FORM_2, "outputs": ["iso", "usb"], "persistence_mb": 64})
    assert {name: digest for name, digest in made.items() if PLANNED.get(name) != digest} == PLANNED_MORE


def test_what_form_3_plans_beyond_that_is_asked_when_the_image_is_customised() -> None:
    before, made = plans(FORM_2), plans(FORM_3)
    assert {name: digest for name, digest in made.items() if before.get(name) != digest} == PLANNED_IN_FORM_3


def test_what_form_4_plans_otherwise_is_when_the_image_is_told_its_name() -> None:
    before, made = plans(FORM_3), plans(FORM_4)
    assert {name: digest for name, digest in made.items() if before[name] != digest} == PLANNED_IN_FORM_4
    script, was = (plan_customise(order, EARLIER).write["recipe/apply.sh"] for order in (FORM_4, FORM_3))
    told = 'cat "$recipe/etc/os-release-more" >>/usr/lib/os-release\n'
    assert script == was.replace(told, "") + told


def test_what_form_5_plans_otherwise_is_the_initrd_the_machines_name_and_keys_of_everybody() -> None:
    before, made = plans(FORM_4), plans(FORM_5)
    assert {name: digest for name, digest in made.items() if before[name] != digest} == PLANNED_IN_FORM_5
    now, was = (plan_initrd(order, EARLIER).write["initrd.sh"] for order in (FORM_5, FORM_4))
    assert now.replace(PREPARE, "") == was
    now, was = (plan_customise(order, EARLIER).write["enter.sh"] for order in (FORM_5, FORM_4))
    assert now.replace("hostname localhost\n", "") == was
    assert "hostname localhost" in plan_root(FORM_5, EARLIER).commands[0].argv
    written, before_it = (plan_customise(order, EARLIER).write for order in (FORM_5, FORM_4))
    assert {name for name, text in written.items() if before_it[name] != text} == {
        "enter.sh", "recipe/apply.sh", "recipe/ask/cut.pl",
    }  # fmt: skip
    new_lines = set(written["recipe/apply.sh"].splitlines()) - set(before_it["recipe/apply.sh"].splitlines())
    assert any("ssh_host_" in line for line in new_lines)


def test_only_in_form_5_a_stick_has_the_medium_of_the_recipe() -> None:
    medium: dict[str, Json] = {"outputs": ["iso", "usb"], "medium": str(sha256_of(b"medium"))}
    made, before = (plan_usb({**order, **medium}, EARLIER) for order in (FORM_5, FORM_4))
    assert "medium.tar" in made.place
    assert 'mcopy -i "$esp" "iso/${file#./}"' in made.write["usb.sh"]
    assert before == plan_usb({**FORM_4, "outputs": ["iso", "usb"]}, EARLIER)


def test_what_came_with_the_forms_is_all_that_an_order_says_more() -> None:
    assert form_inputs(config(), "petrel", "1:2.0") == {
        "form": 5,
        "repo": "live",
        "branch": "main",
        "version": "1:2.0",
        "url": "",
        "outputs": ["iso"],
        "keyrings": {
            "debian": "/usr/share/keyrings/debian-archive-keyring.gpg",
            "security": "/usr/share/keyrings/debian-archive-keyring.gpg",
        },
        "vendors": {"debian": "debian", "petrel": "petrel", "security": "debian"},
    }


def test_what_a_table_asks_for_is_in_the_order_and_nothing_else() -> None:
    image = config().images["petrel"].model_copy(
        update={
            "outputs": ("usb", "iso"), "persistence_mb": 64, "upgrade_mb": 9, "trackers": ("udp://t.example/announce",),
            "web_seeds": ("https://petrel.example/images/",),
        }
    )  # fmt: skip
    plain_order = form_inputs(config(), "petrel", "1")
    asked = form_inputs(replace(config(), images={"petrel": image}), "petrel", "1")
    assert {key: value for key, value in asked.items() if plain_order.get(key) != value} == {
        "outputs": ["iso", "usb"], "persistence_mb": 64, "upgrade_mb": 9, "trackers": ["udp://t.example/announce"],
        "web_seeds": ["https://petrel.example/images"],
    }  # fmt: skip
    assert (wants(asked, "usb"), wants(asked, "netboot")) == (True, False)


def test_an_environment_that_lacks_tools_for_usb_images_is_named_with_what_it_lacks() -> None:
    whole = config()
    usb = whole.images["petrel"].model_copy(update={"outputs": ("iso", "usb")})
    assert missing_tools(whole) == {}
    assert missing_tools(replace(whole, images={"petrel": usb})) == {"tools": ("e2fsprogs", "fdisk")}
    tools = whole.environments["tools"].model_copy(update={"include": ("xorriso", "fdisk")})
    environments = {**whole.environments, "tools": tools}
    assert missing_tools(replace(whole, images={"petrel": usb}, environments=environments)) == {"tools": ("e2fsprogs",)}


def test_the_sample_of_the_habits_is_of_the_first_form() -> None:
    assert form_of(INPUTS["image.build"]) == 1
