"""Names that a recipe only speaks of: hooks, pins, and what they are not."""

import pytest

from distwright.images.mentions import mentioned_names
from distwright.images.recipe import parse_recipe
from distwright.images.recipe_files import ImageFile

LIST = ImageFile("package-lists/base.list.chroot", b"live-boot\n", is_executable=False)


def mentioned(*, hook: str = "", **includes: str) -> tuple[str, ...]:
    files = [LIST]
    if hook:
        files.append(ImageFile("hooks/1.hook.chroot", f"#!/bin/sh\n{hook}\n".encode(), is_executable=True))
    for path, text in includes.items():
        files.append(ImageFile(f"includes.chroot/etc/apt/{path}", text.encode(), is_executable=False))
    return mentioned_names(parse_recipe(files))


@pytest.mark.parametrize(
    ("hook", "names"),
    [
        ("apt-get --yes purge nano vim-tiny", ("nano", "vim-tiny")),
        (
            "DEBIAN_FRONTEND=noninteractive /usr/bin/apt-get -y -o A=b remove \\\n  nano \\\n  info # for ever\n",
            ("info", "nano"),
        ),
        ("dpkg --purge --force-depends 'g++' || true", ("g++",)),
        ("apt-mark hold linux-image-amd64:amd64 >/dev/null 2>&1; echo hold other", ("linux-image-amd64",)),
        ("if dpkg -s exim4-base 2>/dev/null; then apt purge -y exim4-base; fi", ("exim4-base",)),
        ("x=$(dpkg-query -W -f '${Status}' tor)", ("tor",)),
        ("apt-get install foo=1.0 bar/sid nano- ", ("bar", "foo", "nano")),
        ("apt-get update && apt-get autoremove", ()),
        ("apt-get purge $LEFT ${MORE} \"$@\" 'Not A Name' *", ()),
        ("# apt-get purge nano\necho purge nano\ncat <<EOF >/etc/x\nlive\nEOF", ()),
    ],
)
def test_hooks_mention_what_they_tell_apt_and_dpkg(hook: str, names: tuple[str, ...]) -> None:
    assert mentioned(hook=hook) == names


def test_pins_mention_names_and_neither_patterns_nor_sources() -> None:
    pins = "# Package: none\nPackage: firefox-esr thunderbird:any\nPin: release a=x\nPin-Priority: 1\n\nPackage: *\nPin: origin y\n"
    more = "package: src:linux /^kde/ gtk* a\n  second\nPin: version 1*\n"
    assert mentioned(preferences=pins, **{"preferences.d/more": more}) == ("firefox-esr", "second", "thunderbird")
    assert mentioned(**{"sources.list.d/preferences": pins}) == ()


def test_pins_that_count_while_packages_are_installed_are_mentioned_too() -> None:
    pin = ImageFile("archives/a.pref.chroot", b"Package: tor\nPin: version *\nPin-Priority: 1\n", is_executable=False)
    assert mentioned_names(parse_recipe([LIST, pin])) == ("tor",)
