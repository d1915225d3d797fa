"""The plan of the USB image: nothing unless it is asked for, and a menu that knows of what is kept."""

from tests.habits.samples import EARLIER, INPUTS, ROOT, SQUASHFS
from tests.worlds.installation import config

from distwright.images.forms import form_inputs
from distwright.images.iso import plan_iso
from distwright.images.usb import fat_label, plan_usb
from distwright.jobs.step import Plan
from distwright.model.digests import Json

BUILD: dict[str, Json] = {**INPUTS["image.build"], **form_inputs(config(), "petrel", "1.0"), "outputs": ["iso", "usb"]}


def test_it_is_made_if_it_is_asked_for() -> None:
    for inputs in (INPUTS["image.build"], {**BUILD, "outputs": ["iso", "netboot"]}):
        assert plan_usb(inputs, EARLIER) == Plan(())
    plan = plan_usb(BUILD, EARLIER)
    [command] = plan.commands
    assert (command.root, plan.place["filesystem.squashfs"], plan.collect) == (ROOT, SQUASHFS, {"usb": "usb.img"})
    assert dict(command.environment) == {
        "SOURCE_DATE_EPOCH": "1704888000", "label": "PETREL 1_0", "persistence_mb": "0",
    }  # fmt: skip


def test_only_a_disk_with_room_asks_the_live_system_to_keep_what_changes() -> None:
    room = plan_usb({**BUILD, "persistence_mb": 64}, EARLIER)
    assert dict(room.commands[0].environment)["persistence_mb"] == "64"
    [linux] = [line for line in room.write["grub.cfg"].splitlines() if "/live/vmlinuz" in line]
    assert linux.split() == ["linux", "/live/vmlinuz", "boot=live", "components", "quiet", "persistence"]
    assert plan_usb(BUILD, EARLIER).write["grub.cfg"] == plan_iso(BUILD, EARLIER).write["grub.cfg"]


def test_only_a_disk_that_shall_be_upgraded_in_place_has_room_beside_the_live_system() -> None:
    plain_plan, roomy = plan_usb(BUILD, EARLIER), plan_usb({**BUILD, "upgrade_mb": 300}, EARLIER)
    assert dict(roomy.commands[0].environment) == {**dict(plain_plan.commands[0].environment), "upgrade_mb": "300"}
    lines = plain_plan.write["usb.sh"].splitlines()
    more = [line for line in roomy.write["usb.sh"].splitlines() if line not in lines]
    assert more == ["kib=$((kib + upgrade_mb * 1024))"]
    assert {**roomy.write, "usb.sh": ""} == {**plain_plan.write, "usb.sh": ""}


def test_a_label_of_fat_is_short_and_of_signs_that_dos_knows() -> None:
    assert [fat_label(label) for label in ("PETREL 2.0~RC1", "A:B*C", "1234567890 X", "")] == [
        "PETREL 2_0_", "A_B_C", "1234567890", "",
    ]  # fmt: skip
