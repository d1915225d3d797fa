"""What changed between images, from what is known of each: pure."""

import stat
from dataclasses import replace

from distwright.checks.image_contents import ImageContents, ImageFile, contents_order, names_of
from distwright.checks.image_delta import Change, ImageFacts, compare_images
from distwright.model.digests import sha256_of

REG, LNK, DIR, CHR = stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR, stat.S_IFCHR
EMPTY = ImageContents({}, {}, {}, (), (), 100)
ONE, OTHER = sha256_of(b"one"), sha256_of(b"other")


def facts(*files: ImageFile, users: tuple[str, ...] = (), groups: tuple[str, ...] = ()) -> ImageFacts:
    contents = replace(EMPTY, files={file.path: file for file in files}, users=users, groups=groups)
    return ImageFacts("petrel-1", ONE, 1000, {}, contents, {})


def changes(first: ImageFacts, second: ImageFacts, section: str) -> list[tuple[object, object, object]]:
    return [
        (one.what, one.first, one.second) for one in compare_images(first, second).changes if one.section == section
    ]


def link(path: str, what: str) -> ImageFile:
    return ImageFile(path, LNK | 0o777, 0, 0, 0, what)


def test_the_same_image_has_no_changes_and_only_its_bytes_make_it_the_same() -> None:
    image = facts(ImageFile("a", REG | 0o644, 0, 0, 1, "x"))
    assert compare_images(image, image).changes == ()
    assert compare_images(image, image).is_same
    assert not compare_images(image, replace(image, iso=OTHER)).is_same


def test_packages_and_sizes_say_both_sides() -> None:
    first = replace(facts(), packages={"tern": "1.0", "gone": "1"})
    sizes = replace(EMPTY, sizes={"tern": 5, "": 2}, squashfs_bytes=90)
    second = replace(facts(), packages={"tern": "1.1", "new": "2"}, contents=sizes, size_bytes=2000)
    assert changes(first, second, "package") == [("gone", "1", None), ("new", None, "2"), ("tern", "1.0", "1.1")]
    assert changes(first, second, "size") == [
        ("(ISO)", 1000, 2000), ("(all files)", 0, 7), ("(of no package)", None, 2), ("(squashfs)", 100, 90), ("tern", None, 5),
    ]  # fmt: skip


def test_privileges_are_those_of_programs_and_devices_not_of_links_and_folders() -> None:
    second = facts(
        ImageFile("su", REG | 0o4755, 0, 0, 1, "x"),
        ImageFile("wall", REG | 0o2755, 0, 5, 1, "x"),
        ImageFile("folder", DIR | 0o2775, 0, 50, 0, ""),
        ImageFile("tmp", DIR | 0o1777, 0, 0, 0, ""),
        ImageFile("kmsg", CHR | 0o666, 0, 0, 0, "1:11"),
        link("link", "su"),
        groups=("tty:x:5:",),
    )
    assert changes(facts(), second, "setuid") == [
        ("su", None, "-rwsr-xr-x 0/0"), ("wall", None, "-rwxr-sr-x 0/tty"),
    ]  # fmt: skip
    assert changes(facts(), second, "world-writable") == [
        ("kmsg", None, "crw-rw-rw- 0/0"), ("tmp", None, "drwxrwxrwt 0/0"),
    ]  # fmt: skip


def test_rules_of_sudo_doas_and_polkit_count_wherever_they_are() -> None:
    paths = ("etc/sudoers", "etc/sudoers.d/a", "etc/doas.conf", "usr/share/polkit-1/rules.d/a.rules", "etc/passwd")
    second = facts(*(ImageFile(path, REG | 0o440, 0, 0, 1, "a" * 32) for path in paths))
    assert [row[0] for row in changes(facts(), second, "rule")] == sorted(paths[:4])


def test_users_and_groups_are_compared_without_passwords() -> None:
    first = facts(users=("ada:x:1000:1000:Ada:/home/ada:/bin/sh", ""), groups=("sudo:x:27:ada",))
    second = facts(users=("ada:!:1000:1000:Ada E:/home/ada:/bin/sh", "odd"), groups=("sudo:*:27:ada,bea",))
    assert changes(first, second, "user") == [("odd", None, ":")]
    assert changes(first, second, "group") == [("sudo", "27 ada", "27 ada,bea")]


def test_services_are_links_of_targets_masks_other_names_and_scripts() -> None:
    unit = "/usr/lib/systemd/system/ssh.service"
    first = facts(link("etc/systemd/system/multi-user.target.wants/ssh.service", unit))
    second = facts(
        link("etc/systemd/system/multi-user.target.wants/ssh.service", unit),
        link("etc/systemd/system/sockets.target.requires/ssh.service", unit),
        link("etc/systemd/system/cups.path", "/dev/null"),
        link("etc/systemd/system/default.target", "/lib/systemd/system/graphical.target"),
        link("etc/systemd/user/default.target.wants/pipewire.service", "/usr/lib/systemd/user/pipewire.service"),
        link("usr/lib/systemd/system/sysinit.target.wants/kmod.service", "../kmod.service"),
        link("etc/rc2.d/S01cron", "../init.d/cron"),
        link("etc/rc2.d/K01cron", "../init.d/cron"),
        ImageFile("etc/systemd/system/own.service", REG | 0o644, 0, 0, 1, "x"),
    )
    assert changes(first, second, "service") == [
        ("cups.path", None, "masked"),
        ("default.target", None, "is graphical.target"),
        ("kmod.service", None, "in sysinit.target"),
        ("pipewire.service (of users)", None, "in default.target"),
        ("rc2.d/S01cron", None, "../init.d/cron"),
        ("ssh.service", "in multi-user.target", "in multi-user.target, in sockets.target"),
    ]


def test_a_file_says_kind_mode_owner_size_and_content_and_whose_it_is() -> None:
    first = facts(ImageFile("a", REG | 0o644, 0, 0, 1234, "ab" * 16, package="tern"), link("l", "a"))
    second = facts(
        ImageFile("a", REG | 0o644, 0, 0, 1234, "cd" * 16, "cap_kill=p", "auk"), link("l", "b"), users=("root:x:0:0",)
    )
    assert [one for one in compare_images(first, second).changes if one.section == "file"] == [
        Change(
            "file",
            "a",
            "-rw-r--r-- 0/0 1,234 abababababababababababababababab",
            "-rw-r--r-- root/0 1,234 cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd cap_kill=p",
            "auk",
        ),
        Change("file", "l", "lrwxrwxrwx 0/0 → a", "lrwxrwxrwx root/0 → b"),
    ]


def test_boots_are_measured_for_each_firmware_and_change_nothing() -> None:
    first, second = replace(facts(), boots={"bios": 60}), replace(facts(), boots={"bios": 61, "uefi": 70})
    delta = compare_images(first, second)
    assert delta.changes == ()
    assert delta.measured == {
        "seconds to start (bios)": (60, 61), "seconds to start (uefi)": (None, 70), "ports that listen": (None, None),
    }  # fmt: skip


def test_numbers_of_users_have_their_first_name() -> None:
    assert names_of(["root:x:0:0", "toor:x:0:0", "bad", "ada:x:no:1", "", "b:x:99999999999999:"]) == {0: "root"}


def test_an_order_is_known_by_the_bytes_of_the_image_alone() -> None:
    assert contents_order(ONE, "petrel-1").digest == contents_order(ONE, "petrel-2").digest
    assert contents_order(ONE, "petrel-1").digest != contents_order(OTHER, "petrel-1").digest


def test_what_starts_an_image_is_compared_by_what_is_said_of_it() -> None:
    first, second = (
        replace(facts(), contents=replace(EMPTY, boot={"MBR": said, "EFI: EFI/BOOT/grubx64.efi": "9 ab"}))
        for said in ("432 aa", "432 bb")
    )
    assert changes(first, second, "boot") == [("MBR", "432 aa", "432 bb")]
    assert changes(first, replace(first, contents=EMPTY), "boot") == [
        ("EFI: EFI/BOOT/grubx64.efi", "9 ab", None), ("MBR", "432 aa", None),
    ]  # fmt: skip
