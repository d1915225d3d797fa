"""debian/gbp.conf: what it says of upstream's source, and what hostile ones cannot make it say."""

import pytest

from distwright.builds.gbp_conf import LIMIT_BYTES, GbpConf, parse_gbp_conf, tag_name, tags_of_version
from distwright.errors import BadInput
from distwright.model.versions import DebVersion


def test_what_is_not_said_is_as_gbp_has_it() -> None:
    assert parse_gbp_conf(b"") == parse_gbp_conf(b"[dch]\ngit-author = True\n") == GbpConf()
    assert GbpConf() == GbpConf("upstream", "upstream/%(version)s", "debian/%(version)s")


def test_a_section_of_the_command_counts_before_what_is_said_for_all() -> None:
    text = (
        b"[DEFAULT]\nupstream-branch = upstream/latest\npristine-tar = True\ncompression = gzip\n# a remark\n"
        b"[buildpackage]\nupstream-tag = v%(version%~%-)s\npristine-tar: no\n"
        b"[git-buildpackage]\nupstream-tag = old\ndebian-tag = deb/%(version)s\nupstream-tree = BRANCH\n"
        b"[import-orig]\nupstream-tag = elsewhere\n"
    )
    assert parse_gbp_conf(text) == GbpConf(
        "upstream/latest", "v%(version%~%-)s", "deb/%(version)s", has_branch_tip=True, pristine_tar=False, suffix="gz"
    )


@pytest.mark.parametrize(
    "text",
    [
        b"upstream-tag = before any section\n", b"[DEFAULT\n", b"\xff\xfe", b"[DEFAULT]\n no key\n",
        b"[DEFAULT]\npristine-tar = perhaps\n",
        b"#" * (LIMIT_BYTES + 1), b"[buildpackage]\n= x\n",
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(text: bytes) -> None:
    with pytest.raises(BadInput, match=r"gbp\.conf") as caught:
        parse_gbp_conf(text)
    assert len(caught.value.message) < 400


def test_nothing_is_filled_in_and_nothing_run() -> None:
    hostile = b"[DEFAULT]\nhome = /root\nupstream-branch = %(home)s/$(reboot)\nupstream-tag = `reboot`%(home)s\n"
    conf = parse_gbp_conf(hostile)
    assert conf.upstream_branch == "%(home)s/$(reboot)"
    with pytest.raises(BadInput, match="asks for 'home'"):
        tag_name(conf.upstream_tag, "1.0")


@pytest.mark.parametrize(
    ("pattern", "version", "expected"),
    [
        ("upstream/%(version)s", "1.0~rc1", "upstream/1.0_rc1"),
        ("v%(version%~%-)s", "1.0~rc1", "v1.0-rc1"),
        ("r%(hversion)s", "1.2.3", "r1-2-3"),
        ("x/%(version%.%_)s", "1.2.3", "x/1_2_3"),
        ("plain", "1.0", "plain"),
        ("%(version)s-%(version)s", "1", "1-1"),
    ],
)
def test_a_tag_is_filled_in_as_gbp_does(pattern: str, version: str, expected: str) -> None:
    assert tag_name(pattern, version) == expected


def test_a_version_has_its_own_tag_and_that_of_gbp() -> None:
    assert tags_of_version(DebVersion("1:1.0~rc1-2"), GbpConf()) == ("1%1.0_rc1-2", "debian/1%1.0_rc1-2")
