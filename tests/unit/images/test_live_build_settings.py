"""Variables of live-build: all that its version 20230502 knows have an answer, wherever a tree says them."""

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distwright.config.load import parse_config
from distwright.config.model import Config
from distwright.images.live_build_settings import is_settings, read_settings
from distwright.images.live_build_tables import Tables, live_packages, tables_of, toml_of
from distwright.images.live_build_variables import VARIABLES, Verdict, notice_of

# What `grep -ohE 'LB_[A-Z0-9_]+|[A-Z]+_OPTIONS|DEBOOTSTRAP_SCRIPT'` finds in the scripts and functions of live-build 1:20230502.
KNOWN = Path(__file__).with_name("live_build_variables.txt").read_text().split()


def test_every_variable_of_live_build_has_an_answer_and_no_other_has_one() -> None:
    assert sorted(VARIABLES) == sorted(KNOWN)


@pytest.mark.parametrize("name", KNOWN)
def test_an_answer_is_a_sentence_and_says_what_to_do_where_something_is_lost(name: str) -> None:
    notice = notice_of(name, "some value that nobody has")
    assert notice.what == f"{name}=some value that nobody has"
    assert len(notice.how) > 10
    assert notice.verdict is not Verdict.NOT_HONOURED or VARIABLES[name].instead == notice.how


def test_a_value_that_is_what_is_built_here_anyway_is_not_lost() -> None:
    verdicts = [notice_of("LB_MODE", value).verdict for value in ("debian", "", "progress")]
    assert verdicts == [Verdict.NOT_NEEDED, Verdict.NOT_NEEDED, Verdict.NOT_HONOURED]
    assert notice_of("LB_COLOUR", "red").verdict is Verdict.NOT_HONOURED


def test_files_are_read_in_live_builds_order_and_options_of_auto_config_count_last() -> None:
    found = read_settings({
        "auto/config": "#!/bin/sh\nset -e\n\nlb config noauto \\\n  -a amd64 --mode=debian \\\n"
        """  --bootappend-live 'quiet x' --dm-verity --color \\\n "${@}"\n""",
        "config/common.amd64": 'LB_MODE="c"',
        "config/common": '# why\nLB_MODE="a" # because\nexport LB_APT=b\nLB_DISTRIBUTION=""\n',
        "config/all": "LB_MODE=z\nLB_CACHE='two\nlines'\n",
    })  # fmt: skip
    assert (found.notices, found.values) == ((), {
        "LB_MODE": "debian", "LB_APT": "b", "LB_DISTRIBUTION": "", "LB_CACHE": "two\nlines", "LB_ARCHITECTURE": "amd64",
        "LB_BOOTAPPEND_LIVE": "quiet x", "LB_DM_VERITY": "true",
    })  # fmt: skip
    without = read_settings({"config/common.amd64": "LB_MODE=c", "config/common": "LB_MODE=a"})
    assert without.values == {"LB_MODE": "c"}


def test_what_is_no_setting_is_named_and_never_run() -> None:
    found = read_settings({
        "config/common": "LB_MODE=$(touch /tmp/x)\nif true\nLB_APT=`id`\n",
        "config/chroot": 'LB_CACHE="no end\n',
        "auto/config": "git pull\nlb config --fdisk x --distribution $DIST word\n",
    })  # fmt: skip
    assert found.values == {}
    assert [notice.what for notice in found.notices] == [
        "config/common: LB_MODE=$(touch", "config/common: /tmp/x)", "config/common: if", "config/common: true",
        "config/common: LB_APT=`id`", "config/chroot", "auto/config: git pull", "auto/config: --fdisk",
        "auto/config: --distribution $DIST", "auto/config: word",
    ]  # fmt: skip
    assert {notice.verdict for notice in found.notices} == {Verdict.NOT_HONOURED}


@given(
    st.dictionaries(st.sampled_from(KNOWN), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="$`#")))
)
def test_what_a_shell_would_assign_is_read(values: dict[str, str]) -> None:
    text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
    assert read_settings({"config/common": text}).values == values


@pytest.mark.parametrize("path", ["auto/config", "config/common", "config/binary.amd64", "config/chroot.bookworm"])
def test_files_of_settings_are_known_by_their_names(path: str) -> None:
    assert is_settings(path)


@pytest.mark.parametrize("path", ["auto/build", "config/package-lists", "config/binary/x", "config/hooks/common"])
def test_other_files_have_no_settings(path: str) -> None:
    assert not is_settings(path)


def tables(text: str) -> Tables:
    return tables_of(read_settings({"config/all": text}))


def config_of(made: Tables) -> Config:
    site = 'format = 1\n[site]\nname = "Petrel"\n'
    return parse_config([("distwright.toml", site), ("distwright.d/live.toml", toml_of(made, "live", "images/live"))])


def said(made: Tables) -> dict[str, str]:
    return {notice.what: f"{notice.verdict}: {notice.how}" for notice in made.said.values()}


def test_a_tree_that_says_nothing_is_what_live_build_makes_of_it() -> None:
    made = tables("")
    config = config_of(made)
    image = config.images["live"]
    assert image.from_ == ("debian/bullseye", "debian/bullseye-updates", "debian-security/bullseye-security")
    assert (image.variant, image.recommends, image.documentation) == ("important", True, True)
    assert (image.compression, image.label) == ("xz", None)
    assert image.kernel_options == ("quiet", "splash", "console=ttyS0,115200", "console=tty0")
    assert (made.packages, made.said) == (["linux-image-amd64", "debian-archive-keyring"], {})


def test_archives_are_those_of_live_builds_sources() -> None:
    config = config_of(tables(
        "LB_DISTRIBUTION=bookworm\nLB_ARCHIVE_AREAS='main contrib'\nLB_BACKPORTS=true\nLB_UPDATES=false\n"
        "LB_MIRROR_BINARY=https://a.example/debian/\nLB_MIRROR_CHROOT=https://cache.example/debian/\n"
        "LB_MIRROR_BINARY_SECURITY=https://s.example/\n"
    ))  # fmt: skip
    assert config.images["live"].from_ == (
        "debian/bookworm", "debian/bookworm-backports", "debian-security/bookworm-security",
    )  # fmt: skip
    debian, security = config.archives["debian"], config.archives["debian-security"]
    assert (debian.components, debian.live_url) == (("main", "contrib"), "https://a.example/debian")
    assert security.live_url == "https://s.example"
    assert '# fetch_from = "https://cache.example/debian"' in toml_of(tables(
        "LB_MIRROR_CHROOT=https://cache.example/debian/"
    ), "live", "x")  # fmt: skip
    assert config_of(tables("LB_DISTRIBUTION=sid")).images["live"].from_ == ("debian/sid",)
    assert "debian-security/buster/updates" in config_of(tables("LB_DISTRIBUTION=buster")).images["live"].from_


def test_of_two_values_the_parents_counts_as_in_live_build() -> None:
    made = tables("LB_DISTRIBUTION=x\nLB_PARENT_DISTRIBUTION=bookworm\nLB_MIRROR_BINARY=https://a.example\n"
                  "LB_PARENT_MIRROR_BINARY=https://b.example\nLB_DISTRIBUTION_BINARY=bookworm\n")  # fmt: skip
    assert (made.archives[0].suites[0], made.archives[0].live_url) == ("bookworm", "https://b.example")
    assert said(made) == {
        "LB_DISTRIBUTION=x": "not honoured: LB_PARENT_DISTRIBUTION_CHROOT counts, bookworm",
        "LB_DISTRIBUTION_BINARY=bookworm": "not needed: as it is here",
        "LB_MIRROR_BINARY=https://a.example": "not needed: live-build 20230502 takes LB_PARENT_MIRROR_BINARY, and so did we",
    }


@pytest.mark.parametrize(
    ("text", "compression", "lost"),
    [
        ("TYPE=xz", "xz", 0), ("TYPE=zstd\nLEVEL=19", "zstd-19", 0), ("TYPE=zstd\nLEVEL=3", "zstd-3", 0),
        ("TYPE=zstd\nLEVEL=22", "zstd-19", 2), ("TYPE=zstd\nLEVEL=12", "zstd-9", 2), ("TYPE=gzip", "zstd-9", 2),
        ("TYPE=xz\nLEVEL=9", "xz", 2),
    ],
)  # fmt: skip
def test_the_nearest_compression_is_taken_and_said_if_it_is_another(text: str, compression: str, lost: int) -> None:
    made = tables("\n".join(f"LB_CHROOT_SQUASHFS_COMPRESSION_{line}" for line in text.split("\n")))
    assert (made.image["compression"], len(made.said)) == (compression, lost)
    assert config_of(made).images["live"].compression == compression


def test_options_that_a_boot_menu_would_misread_are_named_and_left_out() -> None:
    made = tables("LB_BOOTAPPEND_LIVE='boot=live config console=tty1 a=b;c union=aufs'\nLB_UNION_FILESYSTEM=overlay")
    assert made.image["kernel_options"] == ["console=tty1", "union=aufs"]
    assert said(made)["LB_BOOTAPPEND_LIVE: a=b;c"] == "not honoured: GRUB's menu reads some of its signs as its own"


def test_a_label_keeps_its_stamp_as_the_version() -> None:
    assert tables("LB_ISO_VOLUME='Live @ISOVOLUME_TS@'").image["label"] == "Live @VERSION@"
    wrong = tables("LB_ISO_VOLUME='a/b'")
    assert "label" not in wrong.image
    assert list(said(wrong)) == ["LB_ISO_VOLUME=a/b"]


def test_an_image_has_one_kernel() -> None:
    made = tables("LB_LINUX_FLAVOURS_WITH_ARCH='686-pae:i386 amd64'\nLB_KEYRING_PACKAGES='a b'")
    assert made.packages == ["linux-image-686-pae", "a", "b"]
    assert said(made)["LB_LINUX_FLAVOURS_WITH_ARCH=686-pae:i386 amd64"].startswith(
        "not honoured: an image has exactly one"
    )
    assert tables("LB_LINUX_PACKAGES=none").packages == ["debian-archive-keyring"]


@pytest.mark.parametrize(
    ("text", "packages"),
    [
        ("", "live-boot live-config live-config-systemd systemd-sysv"),
        ("LB_INITSYSTEM=sysvinit", "live-boot live-config live-config-sysvinit sysvinit-core"),
        ("LB_INITSYSTEM=none", "live-boot live-config"),
        ("LB_INITRAMFS=none", "live-boot"),
    ],
)
def test_the_list_that_lb_config_writes_is_written_by_us(text: str, packages: str) -> None:
    assert live_packages(read_settings({"config/all": text})) == packages.split()


def test_a_small_root_stays_small() -> None:
    assert tables("DEBOOTSTRAP_OPTIONS='--variant=minbase'").image["variant"] == "minbase"


WRITTEN = Path(__file__).with_name("live_build_20230502")


def test_the_files_that_lb_config_writes_are_read_to_the_last_variable() -> None:
    """Written by `lb config --distribution bookworm` of live-build 1:20230502, with mirrors of ours."""
    texts = {f"config/{file.name}": file.read_text() for file in WRITTEN.iterdir()}
    settings = read_settings(texts)
    written = {line.partition("=")[0] for text in texts.values() for line in text.splitlines() if line[:1].isalpha()}
    assert (set(settings.values), settings.notices) == (written, ())
    made = tables_of(settings)
    notices = [made.said.get(name) or notice_of(name, value) for name, value in settings.values.items()]
    assert sorted(notice.what.partition("=")[0] for notice in notices if notice.verdict is Verdict.NOT_HONOURED) == [
        "LB_APT_INDICES", "LB_APT_SOURCE_ARCHIVES", "LB_BOOTAPPEND_LIVE_FAILSAFE", "LB_BOOTLOADER_BIOS", "LB_CHECKSUMS",
        "LB_FIRMWARE_CHROOT", "LB_ISO_APPLICATION", "LB_ISO_PREPARER", "LB_ISO_PUBLISHER", "LB_ZSYNC",
    ]  # fmt: skip
    config = config_of(made)
    assert config.archives["debian-security"].live_url == "https://security.example/debian-security"
    assert config.images["live"].label == "Debian bookworm @VERSION@"
