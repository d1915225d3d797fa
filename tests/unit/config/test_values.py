"""What a value may be where boot menus, apt or a log would read it in their own way; written in tables, or typed."""

import json

import pytest
from tests.unit.config.worlds import GOOD, problems_of, problems_with

from distwright.config.load import checked_fetch_url, parse_config
from distwright.config.tables import Image, Site
from distwright.config.words import wanted
from distwright.errors import BadConfig, BadUsage


@pytest.mark.parametrize("sign", ['"', "$", "`", "\\", "\n"])
def test_what_a_boot_menu_would_read_as_its_own_cannot_stand_in_the_name(sign: str) -> None:
    [problem] = problems_with(('name = "Petrel"', f"name = {json.dumps(f'Pe{sign}trel')}"))
    assert problem.startswith("a.toml:3 site.name: 'Pe")
    assert problem.endswith(f"want {wanted(Site, ('name',))}")
    assert problems_with(('name = "Petrel"', """name = "Ada's Petrel {1}; & more" """)) == []


@pytest.mark.parametrize("word", ["quiet splash", "a;b", "}", "$x", "a'b", 'a"b', "a\\b", "#", "a|b", "<x", "", "café"])
def test_an_option_of_the_kernel_is_one_word_for_boot_menus_too(word: str) -> None:
    text = f'kernel_options = ["quiet", {json.dumps(word, ensure_ascii=False)}]\nboot_expect ='
    [problem] = problems_with(("boot_expect =", text))
    assert problem.startswith("a.toml:29 image.petrel.kernel_options[1]: ")
    assert problem.endswith(f"want {wanted(Image, ('kernel_options', 1))}")


@pytest.mark.parametrize(
    ("setting", "good", "bad"),
    [
        ("label", "Petrel @VERSION@", ["", " x", "x ", "a/b", "café", "$(x)", "x" * 65]),
        ("live_user", "guest-1", ["", "Guest", "1x", "a b", "a/b", "x" * 33]),
        ("compression", "zstd-19", ["zstd", "gzip", "zstd-20"]),
    ],
)
def test_what_a_medium_and_a_live_system_show_is_one_plain_word_or_line(
    setting: str, good: str, bad: list[str]
) -> None:
    def problems(value: str) -> list[str]:
        return problems_with(("boot_expect =", f"{setting} = {json.dumps(value, ensure_ascii=False)}\nboot_expect ="))

    assert problems(good) == []
    for value in bad:
        [problem] = problems(value)
        assert problem.startswith(f"a.toml:29 image.petrel.{setting}: ")
        assert problem.endswith(f"want {wanted(Image, (setting,))}")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (
            'outputs = ["usb"]',
            "image.petrel.outputs: does not name iso, which is always made: it is what is booted; want ",
        ),
        ('outputs = ["iso", "usb", "usb"]', "image.petrel.outputs: 'usb' is in the list twice; want "),
        ('outputs = ["iso", "floppy"]', "image.petrel.outputs[1]: "),
        ('trackers = ["ftp://t.example/a"]', "image.petrel.trackers[0]: 'ftp://t.example/a' is not such a URL; want "),
        ("persistence_mb = -1", "image.petrel.persistence_mb: -1 is out of bounds; want a whole number of MiB, from 0"),
    ],
)
def test_what_comes_out_of_an_image_is_what_can_be_made(line: str, problem: str) -> None:
    [found] = problems_with(("boot_expect =", f"{line}\nboot_expect ="))
    assert found.startswith(f"a.toml:29 {problem}")
    good = 'outputs = ["netboot", "iso"]\npersistence_mb = 0\ntrackers = ["udp://t.example:6969/announce"]'
    assert problems_with(("boot_expect =", f"{good}\nboot_expect =")) == []


def test_a_package_to_include_is_none_that_apt_would_remove() -> None:
    [problem] = problems_of(GOOD, '[environment.x]\nfrom = ["debian/bookworm"]\ninclude = ["g++", "sudo-"]\n')
    assert problem.startswith("b.toml:3 environment.x.include[1]: 'sudo-' ends with '-', by which apt would remove")


def test_a_file_that_is_not_utf8_is_named_with_its_line_among_all_other_problems() -> None:
    text = b"# a\nx = 'caf\xe9'\n".decode(errors="surrogateescape")
    wrong = GOOD.replace("valid_days = 30", "valid_days = 0")
    assert problems_of(wrong, text) == [
        "a.toml:16 suite.devel.valid_days: 0 is out of bounds; want a whole number of days, 1 to 3650",
        "b.toml:2 TOML: the file is not UTF-8 text; want UTF-8",
    ]


def test_problems_are_there_for_machines_too() -> None:
    with pytest.raises(BadConfig) as caught:
        parse_config([("a.toml", "\nformat = 1\n[site]\nnam = 1\nname = 'x'\n")])
    assert caught.value.problems == (
        {
            "file": "a.toml",
            "line": 4,
            "key": "site.nam",
            "problem": "is not a known key",
            "want": "name (the nearest known key)",
        },
    )


@pytest.mark.parametrize("text", ["--upload-pack=x", "ftp://h/x", "", "http://h/a b", "http://h/?x", "h"])
def test_an_address_that_is_typed_obeys_the_same_rules(text: str) -> None:
    with pytest.raises(BadUsage, match=r"the address to fetch from .* (such a URL|no URL has|folder)"):
        checked_fetch_url(text)


def test_a_password_that_is_typed_is_refused_and_never_shown() -> None:
    with pytest.raises(BadUsage) as caught:
        checked_fetch_url("http://bob:hunter2@host/")
    assert caught.value.message == "the address to fetch from has a user name or password in the URL"
    assert checked_fetch_url("http://host/debian/") == "http://host/debian"
