"""Every folder of live-build's config/ in a recipe: honoured in its order, or refused with the reason."""

from collections.abc import Mapping

import pytest

from distwright.errors import BadInput
from distwright.images.recipe import Recipe, parse_recipe
from distwright.images.recipe_archives import Source, unknown_sources
from distwright.images.recipe_files import ImageFile
from distwright.images.recipe_lists import condition_values
from distwright.images.recipe_medium import grub_files, grub_menu, grub_words

LIST = "package-lists/base.list.chroot"
VALUES = condition_values("amd64", "bookworm", ("main",), recommends=False)
SH = "#!/bin/sh\n"


def files_of(texts: Mapping[str, str | bytes]) -> list[ImageFile]:
    """Make files; a name that ends with @ is a symlink."""
    return [
        ImageFile(
            path.removesuffix("@"),
            b"" if path.endswith("@") else text if isinstance(text, bytes) else text.encode(),
            is_executable=False,
            link=str(text) if path.endswith("@") else None,
        )
        for path, text in texts.items()
    ]


def recipe(texts: Mapping[str, str | bytes]) -> Recipe:
    return parse_recipe(files_of({LIST: "live-boot\n", **texts}), VALUES)


def problems(texts: Mapping[str, str | bytes]) -> list[str]:
    with pytest.raises(BadInput) as caught:
        recipe(texts)
    return [line.removeprefix("  ") for line in caught.value.message.split("\n")[1:]]


def test_hooks_run_as_live_build_runs_them_whatever_they_are_called() -> None:
    """All of normal/ before live/: as `config/hooks/normal/*.chroot config/hooks/live/*.chroot` of chroot_hooks."""
    hooks = recipe({
        "hooks/live/0010-a.hook.chroot": f"{SH}5",
        "hooks/normal/0900-z.hook.chroot": f"{SH}4",
        "hooks/normal/0100-b.chroot": f"{SH}3",
        "hooks/zz.chroot": f"{SH}2",
        "hooks/0500-old.hook.chroot": f"{SH}1",
    }).hooks  # fmt: skip
    assert [hooks[name].removeprefix(SH) for name in sorted(hooks)] == ["1", "2", "3", "4", "5"]
    assert list(hooks) == [
        "0000-0500-old.hook.chroot", "0001-zz.hook.chroot", "0002-normal-0100-b.hook.chroot",
        "0003-normal-0900-z.hook.chroot", "0004-live-0010-a.hook.chroot",
    ]  # fmt: skip


def test_hooks_of_the_medium_are_a_stage_of_their_own() -> None:
    found = recipe({"hooks/1.hook.binary": f"{SH}b", "hooks/1.hook.chroot": f"{SH}c", "hooks/live/2.binary": f"{SH}d"})
    assert dict(found.hooks) == {"1.hook.chroot": f"{SH}c"}
    assert dict(found.medium_hooks) == {"0000-1.hook.binary": f"{SH}b", "0001-live-2.hook.binary": f"{SH}d"}


def test_includes_have_three_places() -> None:
    found = recipe({
        "includes.chroot_before_packages/etc/a": "a", "includes.chroot_after_packages/etc/b": "b", "includes.binary/c/.d": "c",
    })  # fmt: skip
    assert [[(file.path, file.content) for file in part] for part in (found.before, found.includes, found.medium)] == [
        [("etc/a", b"a")], [("etc/b", b"b")], [("c/.d", b"c")],
    ]  # fmt: skip


def test_two_folders_that_mean_the_same_are_refused_as_live_build_does() -> None:
    assert problems({"includes.chroot/etc/a": "a", "includes.chroot_after_packages/etc/b": "b"}) == [
        "includes.chroot/ and includes.chroot_after_packages/ mean the same, only one of them may have files"
    ]


def test_answers_for_debconf_keep_live_builds_order_and_bytes() -> None:
    answers = "# why\n\nd-i\tkeymap string de\nlocales a/b multiselect \\\n  de_DE.UTF-8\n"
    found = recipe({"preseed/b.cfg": answers, "preseed/a.cfg.chroot": "x a/b seen true\n", "preseed/c.cfg": ""})
    assert found.preseed == {"0000-b.cfg": answers.encode(), "0001-c.cfg": b"", "0002-a.cfg": b"x a/b seen true\n"}


def test_an_answer_that_is_none_is_refused_with_its_line() -> None:
    assert problems({"preseed/a.cfg": "x a/b string c\nx \\\n a/b\nx a/b boolean\n"}) == [
        "preseed/a.cfg:2: want OWNER QUESTION TYPE VALUE"
    ]


def test_pins_count_in_the_build_in_the_image_or_in_both() -> None:
    found = recipe({"archives/both.pref": "1", "archives/now.pref.chroot": "2", "archives/later.pref.binary": "3"})
    assert found.preferences == {"both.pref": b"1", "now.pref": b"2"}
    assert [(file.path, file.content) for file in found.includes] == [
        ("etc/apt/preferences.d/both.pref", b"1"), ("etc/apt/preferences.d/later.pref", b"3"),
    ]  # fmt: skip


def test_a_pin_by_host_is_refused_where_it_would_never_count() -> None:
    pin = 'Package: *\nPin: origin "archive.example"\nPin-Priority: 99\n'
    assert problems({"archives/a.pref.chroot": pin, "archives/b.pref": pin, "archives/c.pref.binary": pin}) == [
        f"archives/{name}:2: a pin by host counts in the image only: pin by release, or call it .pref.binary"
        for name in ("a.pref.chroot", "b.pref")
    ]


def test_settings_of_apt_are_for_the_image_only_and_secrets_for_nobody() -> None:
    kept = recipe({"archives/a.conf.binary": "APT::X 1;"}).includes
    assert [(file.path, file.content) for file in kept] == [("etc/apt/apt.conf.d/a.conf", b"APT::X 1;")]
    refused = problems(
        {"archives/a.conf": "", "archives/b.auth": "", "archives/c.key.chroot": "", "archives/d.deb": ""}
    )
    assert [line.split(": ", 1)[1][:26] for line in refused] == [
        "apt's settings are distwri", "a password has no place in", "say it as keyring or live_", "put the package into packa",
    ]  # fmt: skip


def test_sources_must_be_those_of_the_image() -> None:
    text = "# ours\ndeb [arch=amd64] https://a.example/debian/ @DISTRIBUTION@ main contrib\ndeb-src https://b.example/ x main\n"
    found = recipe({"archives/a.list.chroot": text}).sources
    assert found == (
        Source("archives/a.list.chroot:2", "https://a.example/debian/", "bookworm", ("main", "contrib")),
    )  # fmt: skip
    assert unknown_sources(found, {("https://a.example/debian", "bookworm", "main")}) == [
        "archives/a.list.chroot:2: 'https://a.example/debian/' bookworm contrib is the live_url of no suite in `from`"
    ]
    assert problems({"archives/b.list": "deb https://a.example/ ./\nrpm x y z\n"}) == [
        f"archives/b.list:{line}: want deb URL SUITE COMPONENT ..., of an archive with dists/" for line in (1, 2)
    ]


def test_package_files_are_for_all_or_for_our_architecture_as_their_names_say() -> None:
    found = recipe({"packages.chroot/a_1_all.deb": "a", "packages/b_1_amd64.deb": "b"}).debs
    assert found == {"a_1_all.deb": b"a", "b_1_amd64.deb": b"b"}
    assert problems({"packages.chroot/a_1_i386.deb": "a", "packages.chroot/b.deb": "b"}) == [
        f"packages.chroot/{name}: its name ends with none of _all.deb, _amd64.deb" for name in ("a_1_i386.deb", "b.deb")
    ]


def test_excludes_are_paths_below_the_root() -> None:
    assert recipe({"rootfs/excludes": "boot/*\nusr/share/doc"}).excludes == "boot/*\nusr/share/doc\n"
    assert problems({"rootfs/excludes": "boot\n/usr\n"}) == [
        "rootfs/excludes:2: begins with '/', but patterns are of paths below the root"
    ]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (
            "bootloaders/isolinux/live.cfg",
            "is for another boot loader than GRUB, whose files are in bootloaders/grub-pc/",
        ),
        ("debian-installer/preseed.cfg", "no Debian installer is put on the medium"),
        ("includes.installer/a", "no Debian installer is put on the medium"),
        ("preseed/a.cfg.installer", "this version has no use for it"),
        ("hooks/live/a.hook.container", "hooks that systemd-nspawn starts are not run, make it a .hook.chroot"),
        ("rootfs/squashfs.sort", "the order of files in the squashfs is that of their names"),
        ("environment.chroot", "hooks get a fixed environment, export it in the hook"),
        ("packages.binary/a_1_all.udeb", "the medium has no pool of packages"),
    ],
)
def test_what_is_not_honoured_is_refused_with_the_reason(path: str, why: str) -> None:
    assert problems({path: "x"}) == [f"{path}: {why}"]


@pytest.mark.parametrize(
    "path",
    ["preseed/a.cfg", "archives/a.pref", "packages.chroot/a_1_all.deb", "rootfs/excludes", "bootloaders/grub-pc/x.cfg"],
)
def test_a_symlink_is_nowhere_taken_for_a_file(path: str) -> None:
    assert problems({f"{path}@": "/etc/passwd"}) == [f"{path}: is a symlink, put the file itself there"]


def test_files_of_the_medium_that_would_be_written_over_are_refused() -> None:
    assert problems({"includes.binary/md5sum.txt": "x", "includes.binary/EFI/BOOT/x/y": "x"}) == [
        "includes.binary/EFI/BOOT/x/y: EFI/BOOT/ has no folders",
        "includes.binary/md5sum.txt: is written when the medium is complete",
    ]


ENTRY = "menuentry 'Petrel @KERNEL_LIVE@' {\n    linux /live/vmlinuz quiet\n}\n"
WORDS = grub_words("amd64", "boot=live components quiet")


def test_a_menu_of_the_recipe_has_our_entry_and_our_words() -> None:
    menu = "source /boot/grub/config.cfg\n# @LINUX_LIVE@ here\nif @ENABLE_MEMTEST@; then\nfi\nlinux @KERNEL_LIVE@ @APPEND_LIVE@ x\n"
    grub = recipe({"bootloaders/grub-pc/grub.cfg": menu, "bootloaders/grub-pc/t/theme.txt": "@KERNEL_LIVE@"}).grub
    assert grub_menu(grub, ENTRY, WORDS) == (
        f"source /boot/grub/config.cfg\n{ENTRY}if false; then\nfi\nlinux /live/vmlinuz boot=live components quiet x\n"
    )
    assert grub_files(grub, ENTRY, WORDS) == (
        ImageFile("boot/grub/t/theme.txt", b"@KERNEL_LIVE@", is_executable=False),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("config.cfg", "source /boot/grub/config.cfg\n"),
        ("theme.cfg", "source /boot/grub/theme.cfg\n"),
        ("other", "menuentry"),
    ],
)
def test_without_a_menu_of_its_own_ours_takes_the_settings_of_the_recipe(name: str, begins: str) -> None:
    grub = recipe({f"bootloaders/grub-pc/{name}": "x"}).grub
    assert grub_menu(grub, ENTRY, WORDS).startswith(begins)
    assert grub_menu(grub, ENTRY, WORDS).endswith(ENTRY)


def test_a_theme_is_shown_though_nothing_sources_it() -> None:
    for name, shown in (("live-theme/theme.txt", "set theme="), ("splash.png", "background_image ")):
        menu = grub_menu(recipe({f"bootloaders/grub-pc/{name}": "x"}).grub, ENTRY, WORDS)
        assert f"    {shown}/boot/grub/{name}\n" in menu


def test_words_of_old_menus_are_refused_with_what_to_write() -> None:
    assert problems({"bootloaders/grub-pc/grub.cfg": "ok\nLINUX_LIVE\nlinux @APPEND_LIVE@\n"}) == [
        "bootloaders/grub-pc/grub.cfg:2: live-build's old LINUX_LIVE, write @LINUX_LIVE@"
    ]
