"""A tree of live-build with every folder filled: each file is in the recipe, or is named with the reason; none is passed over."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.worlds.archive import signer

from distwright.cli.image import command
from distwright.config.load import parse_config
from distwright.errors import NotFound
from distwright.images.from_live_build import Imported, LiveBuildTree, TreeFile, from_live_build
from distwright.images.live_build_tree import read_tree
from distwright.images.live_build_variables import Verdict
from distwright.images.recipe import Recipe, parse_recipe
from distwright.images.recipe_lists import condition_values

KEY = signer("image").certificate().decode()
SH = "#!/bin/sh\n"
SETTINGS = (
    'LB_DISTRIBUTION="bookworm"\nLB_IMAGE_NAME="Kiosk 1"\nLB_ARCHIVE_AREAS="main contrib"\n'
    'LB_BOOTAPPEND_LIVE="boot=live components x"\n'
    'LB_MIRROR_BINARY="https://deb.example/debian/"\nLB_LINUX_FLAVOURS_WITH_ARCH="amd64"\n'
)
# Path below the tree -> text; a name that ends with @ is a symlink.
FULL: Mapping[str, str] = {
    "auto/build": SH,
    "auto/config": f'{SH}lb config noauto --memtest memtest86+ "${{@}}"\n',
    "config/common": SETTINGS,
    "config/package-lists/live.list.chroot": "live-boot\nlive-config\n",
    "config/package-lists/desktop.list.chroot_live": "#if ARCHITECTURES amd64\nxterm\n#endif\n",
    "config/package-lists/more.list": "#if LINUX_FLAVOURS_WITH_ARCH amd64\nvim\n#endif\n#if MODE progress\nno\n#endif\n"
    "! Packages Task x\nfoo:i386 nano=1\n",
    "config/package-lists/pool.list.binary": "dpkg-dev\n",
    "config/packages.chroot/a_1_all.deb": "a",
    "config/packages.chroot/b_1_i386.deb": "b",
    "config/packages/c_1_amd64.deb": "c",
    "config/packages.binary/d_1_all.deb": "d",
    "config/archives/other.list.chroot": "deb https://other.example/apt @DISTRIBUTION@ main\n",
    "config/archives/other.key.chroot": KEY,
    "config/archives/more.list": "deb https://deb.example/debian bookworm-proposed-updates non-free\n",
    "config/archives/lost.key": KEY,
    "config/archives/p.pref": "Package: x\nPin: release n=bookworm\nPin-Priority: 1\n",
    "config/archives/h.pref": 'Package: x\nPin: origin "a.example"\nPin-Priority: 1\n',
    "config/archives/h.pref.chroot": 'Package: x\nPin: origin "a.example"\nPin-Priority: 1\n',
    "config/archives/s.conf": "APT::X 1;\n",
    "config/archives/s.conf.chroot": "APT::X 1;\n",
    "config/archives/w.auth": "machine x\n",
    "config/archives/k.deb": "deb",
    "config/apt/preferences": "x",
    "config/includes.chroot_before_packages/etc/early": "1",
    "config/includes.chroot/etc/late": "2",
    "config/includes.chroot/etc/link@": "late",
    "config/includes.binary/readme.txt": "3",
    "config/includes.installer/x": "4",
    "config/includes.source/x": "5",
    "config/includes/x": "6",
    "config/includes.bootstrap/x": "7",
    "config/hooks/normal/1.hook.chroot": SH,
    "config/hooks/normal/2.hook.binary": SH,
    "config/hooks/normal/3.hook.source": SH,
    "config/hooks/live/1.hook.chroot": "echo no interpreter\n",
    "config/hooks/live/2.hook.container": SH,
    "config/hooks/live/3.hook.chroot": f"{SH}cat /live-build/config/common\n",
    "config/hooks/0.chroot": SH,
    "config/hooks/normal/9.hook.chroot@": "/usr/share/live/build/hooks/normal/not-there.hook.chroot",
    "config/preseed/a.cfg": "x x/y string z\n",
    "config/preseed/b.cfg.chroot": "x x/y string z\n",
    "config/preseed/c.cfg.installer": "d-i",
    "config/preseed/d.cfg": "nonsense\n",
    "config/bootloaders/grub-pc/grub.cfg": "source /boot/grub/config.cfg\nLINUX_LIVE\n",
    "config/bootloaders/grub-pc/splash.png": "png",
    "config/bootloaders/isolinux/isolinux.cfg": "x",
    "config/bootloaders/syslinux_common/splash.svg": "x",
    "config/rootfs/excludes": "boot/*\n",
    "config/rootfs/squashfs.sort": "x",
    "config/debian-installer/preseed.cfg": "x",
    "config/environment.chroot": "A=b",
    "config/package-lists/.gitkeep": "",
    "config/notes": "x",
}


def tree_of(texts: Mapping[str, str]) -> LiveBuildTree:
    return LiveBuildTree(tuple(
        TreeFile(
            path.removesuffix("@"), b"" if path.endswith("@") else text.encode(), 0o644,
            text if path.endswith("@") else None, is_there=not path.endswith("@"),
        )
        for path, text in texts.items()
    ))  # fmt: skip


def imported(texts: Mapping[str, str] = FULL, name: str = "") -> Imported:
    return from_live_build(tree_of(texts), name, "images/NAME")


def recipe_of(found: Imported) -> Recipe:
    return parse_recipe(list(found.files), condition_values("amd64", "bookworm", ("main", "contrib"), recommends=True))


def lost(found: Imported) -> dict[str, str]:
    return {notice.what: notice.how for notice in found.notices if notice.verdict is Verdict.NOT_HONOURED}


def test_every_file_of_the_tree_is_named() -> None:
    named = {notice.what.partition(":")[0] for notice in imported().notices}
    assert {path.removesuffix("@") for path in FULL} - named == set()


def test_what_is_not_honoured_is_named_with_what_to_do_and_nothing_else_is() -> None:
    found = lost(imported())
    assert sorted(found) == sorted([
        "auto/build", "LB_MEMTEST=memtest86+",
        "config/package-lists/more.list:7: ! Packages Task x", "config/package-lists/more.list:8: foo:i386",
        "config/package-lists/pool.list.binary", "config/packages.chroot/b_1_i386.deb", "config/packages.binary/d_1_all.deb",
        "config/archives/lost.key", "config/archives/h.pref.chroot", "config/archives/s.conf.chroot", "config/archives/w.auth",
        "config/archives/k.deb", "config/apt/preferences", "config/includes.installer/x", "config/includes.source/x",
        "config/includes/x", "config/includes.bootstrap/x", "config/hooks/normal/3.hook.source",
        "config/hooks/live/2.hook.container", "config/hooks/live/3.hook.chroot:2", "config/hooks/normal/9.hook.chroot",
        "config/preseed/c.cfg.installer", "config/preseed/d.cfg", "config/bootloaders/isolinux/isolinux.cfg",
        "config/bootloaders/syslinux_common/splash.svg", "config/bootloaders/grub-pc/grub.cfg", "config/rootfs/squashfs.sort",
        "config/debian-installer/preseed.cfg", "config/environment.chroot", "config/notes",
    ])  # fmt: skip
    assert all(len(how) > 15 for how in found.values())
    assert found["config/archives/w.auth"] == "a password has no place in a recipe"
    assert found["config/preseed/d.cfg"] == "1: want OWNER QUESTION TYPE VALUE"
    assert found["config/bootloaders/grub-pc/grub.cfg"].startswith("sources live-build's own config.cfg")


def test_the_recipe_has_all_that_is_honoured() -> None:
    recipe = recipe_of(imported())
    assert recipe.packages == (
        "debian-archive-keyring",
        "linux-image-amd64",
        "live-boot",
        "live-config",
        "nano=1",
        "vim",
        "xterm",
    )
    assert sorted((file.path, file.link or "") for file in recipe.includes) == [
        ("etc/apt/apt.conf.d/s.conf", ""), ("etc/apt/preferences.d/h.pref", ""), ("etc/apt/preferences.d/p.pref", ""),
        ("etc/late", ""), ("etc/link", "late"),
    ]  # fmt: skip
    assert [file.path for file in recipe.before] == ["etc/early"]
    assert list(recipe.hooks.values()) == [SH, SH, f"{SH}echo no interpreter\n", f"{SH}cat /live-build/config/common\n"]
    assert list(recipe.medium_hooks.values()) == [SH]
    assert (list(recipe.preseed), list(recipe.preferences)) == (["0000-a.cfg", "0001-b.cfg"], ["p.pref"])
    assert (set(recipe.debs), recipe.excludes) == ({"a_1_all.deb", "c_1_amd64.deb"}, "boot/*\n")
    assert [file.path for file in recipe.medium] == ["readme.txt"]
    assert recipe.grub["grub.cfg"].content == b"source /boot/grub/config.cfg\n@LINUX_LIVE@\n"
    assert recipe.sources == ()


def test_a_list_that_means_the_same_here_stays_as_it_is_and_others_are_decided() -> None:
    files = {file.path: file.content.decode() for file in imported().files}
    desktop, more = "package-lists/desktop.list.chroot_live", "package-lists/more.list"
    assert (files[desktop], files[more]) == (FULL[f"config/{desktop}"], "vim\nnano=1\n")


def test_the_tables_are_a_configuration_with_the_archives_of_the_tree() -> None:
    found = imported()
    config = parse_config(
        [("distwright.toml", 'format = 1\n[site]\nname = "X"\n'), ("distwright.d/kiosk-1.toml", found.tables)]
    )
    image = config.images["kiosk-1"]
    assert found.name == "kiosk-1"
    assert image.from_ == (
        "debian/bookworm", "debian/bookworm-updates", "debian/bookworm-proposed-updates", "debian-security/bookworm-security",
        "other/bookworm",
    )  # fmt: skip
    other = config.archives["other"]
    assert (other.live_url, getattr(other, "keyring", "")) == ("https://other.example/apt", "keys/other.asc")
    assert config.archives["debian"].components == ("main", "contrib", "non-free")
    assert dict(found.keys) == {"other.asc": KEY.encode()}
    assert (image.recipe, image.kernel_options[0]) == ("images/kiosk-1", "x")


def test_an_archive_without_its_key_is_named() -> None:
    found = imported({"config/archives/other.list": "deb https://other.example x main\n"})
    assert (
        lost(found)["config/archives/other.list"]
        == "no key of its name: put the archive's certificate into keys/other.asc"
    )


def test_modes_and_empty_folders_of_includes_are_set_by_a_hook() -> None:
    files = (
        TreeFile("config/includes.chroot/etc/sudoers.d/a b", b"x", 0o440),
        TreeFile("config/includes.chroot/usr/bin/x", b"x", 0o4755),
        TreeFile("config/includes.chroot/etc/plain", b"x", 0o664),
    )
    found = from_live_build(LiveBuildTree(files, ("config/includes.chroot/srv/empty", "config/hooks/live")), "x", "r")
    [hook] = recipe_of(found).hooks.values()
    assert hook.splitlines()[3:] == [
        "mkdir -p /srv/empty", "chmod 0440 /'etc/sudoers.d/a b'", "chmod 4755 /usr/bin/x",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "name"), [("Kiosk 1", "kiosk-1"), ("../x..y", "x-.y"), ("ß", "live-image"), ("x" * 99, "x" * 64)]
)
def test_an_image_gets_a_name_that_it_may_have(text: str, name: str) -> None:
    assert imported({"config/common": f"LB_IMAGE_NAME='{text}'\n"}).name == name


def test_a_tree_with_options_only_is_a_recipe_too() -> None:
    found = imported({"auto/config": "lb config --distribution trixie\n"}, "tiny")
    assert recipe_of(found).packages == (
        "debian-archive-keyring", "linux-image-amd64", "live-boot", "live-config", "live-config-systemd", "systemd-sysv",
    )  # fmt: skip
    assert lost(found) == {}


def test_what_a_hook_cannot_do_here_is_named_with_its_line() -> None:
    text = f"{SH}# apt-get install x\nDEBIAN_FRONTEND=x apt-get -y install x\nif wget -q https://x; then :; fi\necho ${{LB_MODE}}\n"
    found = lost(imported({"config/hooks/live/1.hook.chroot": text}))
    assert {what: how.partition(":")[0] for what, how in found.items()} == {
        "config/hooks/live/1.hook.chroot:3": "a hook has neither network nor lists of packages",
        "config/hooks/live/1.hook.chroot:4": "a hook has no network",
        "config/hooks/live/1.hook.chroot:5": "live-build's config/ and LB_ variables are not there",
    }


def test_of_live_builds_own_hooks_the_one_that_would_fail_is_left_out() -> None:
    """It sources /live-build/config/binary, which `set -e` does not survive; nearly every tree links it."""
    name = "config/hooks/normal/5000-update-apt-file-cache.hook.chroot"
    text = f"{SH}set -e\n. /live-build/config/binary\n".encode()
    theirs = TreeFile(name, text, 0o755, "/usr/share/live/build/hooks/normal/5000-update-apt-file-cache.hook.chroot")
    other = TreeFile(
        "config/hooks/normal/9.hook.chroot", SH.encode(), 0o755, "/usr/share/live/build/hooks/normal/9.hook.chroot"
    )
    found = from_live_build(LiveBuildTree((theirs, other)), "x", "r")
    assert (list(recipe_of(found).hooks.values()), list(lost(found))) == ([SH], [name])
    mine = from_live_build(LiveBuildTree((replace(theirs, link=None),)), "x", "r")
    assert (len(recipe_of(mine).hooks), list(lost(mine))) == (1, [f"{name}:3"])


def test_live_builds_own_menu_comes_along_where_it_is_installed() -> None:
    templates = tuple(
        TreeFile(name, b"t", 0o644) for name in ("grub.cfg", "config.cfg", "install_gui.cfg", "live-theme/theme.txt")
    )
    files = (TreeFile("config/bootloaders/grub-pc/config.cfg", b"mine", 0o644),)
    grub = recipe_of(from_live_build(LiveBuildTree(files, templates=templates), "x", "r")).grub
    assert {name: file.content for name, file in grub.items()} == {
        "config.cfg": b"mine", "grub.cfg": b"t", "live-theme/theme.txt": b"t",
    }  # fmt: skip


def make_tree(place: Path) -> Path:
    for path, text in FULL.items():
        target = place / path.removesuffix("@")
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.endswith("@"):
            target.symlink_to(text)
        else:
            target.write_text(text)
            target.chmod(0o644)
    return place


def test_a_tree_on_disk_is_read_as_it_is_with_what_else_lies_there(tmp_path: Path) -> None:
    place = make_tree(tmp_path / "tree")
    (place / "config/includes.chroot/srv/empty").mkdir(parents=True)
    (place / "config/includes.chroot/etc/folder").symlink_to("/etc")
    for other in ("cache/x", "local/bin/x", ".git/x", "chroot.files", "scripts/bin/.", "README"):
        (place / other.removesuffix("/.")).parent.mkdir(parents=True, exist_ok=True)
        if other.endswith("."):
            (place / other).mkdir()
        if not other.endswith("."):
            (place / other).write_text("")
    read = read_tree(place, tmp_path / "none")
    full = {file.path: file for file in tree_of(FULL).files}
    found = {file.path: file for file in read.files}
    assert found.pop("config/includes.chroot/etc/folder").link == "/etc"
    link = found.pop("config/includes.chroot/etc/link")
    assert (link.link, link.content, full.pop("config/includes.chroot/etc/link").link) == ("late", b"2", "late")
    assert found == full
    assert read.folders == ("config/includes.chroot/srv/empty",)
    assert [(notice.what, str(notice.verdict)) for notice in read.notices] == [
        ("README", "not honoured"), ("cache", "not needed"), ("chroot.files", "not needed"), ("local", "not honoured"),
    ]  # fmt: skip


def test_a_link_that_leads_out_of_the_tree_brings_nothing_into_the_repository(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SH}secret\n")
    shared = tmp_path / "live-build"
    (shared / "hooks").mkdir(parents=True)
    (shared / "hooks" / "theirs").write_text(f"{SH}theirs\n")
    hooks = tmp_path / "tree" / "config" / "hooks" / "normal"
    hooks.mkdir(parents=True)
    (hooks / "1.hook.chroot").symlink_to("../../../../secret")
    (hooks / "2.hook.chroot").symlink_to(shared / "hooks" / "theirs")
    (hooks / "3.hook.chroot").symlink_to("../../mine")
    (tmp_path / "tree" / "config" / "mine").write_text(f"{SH}mine\n")
    found = from_live_build(read_tree(tmp_path / "tree", shared), "x", "r")
    assert list(recipe_of(found).hooks.values()) == [f"{SH}theirs\n", f"{SH}mine\n"]
    assert lost(found)["config/hooks/normal/1.hook.chroot"].startswith(
        "leads to no file of the tree; or put the file itself"
    )


def test_a_folder_that_is_no_tree_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="has no folder config"):
        read_tree(tmp_path)


def test_what_is_larger_than_git_may_bring_is_named_by_its_size_and_not_read(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    for name, size in (
        ("includes.chroot/huge", 1 << 40),
        ("includes.chroot/large", 255 << 20),
        ("includes.binary/b", 2 << 20),
        ("binary", 2 << 20),
    ):
        (tree / "config" / name).touch()
        os.truncate(tree / "config" / name, size)  # takes no room
    (tree / "config/includes.chroot/linked").symlink_to("huge")
    read = read_tree(tree, tmp_path / "none")
    named = {notice.what: notice.how for notice in read.notices}
    assert named["config/includes.chroot/huge"] == (
        f"has {1 << 40} bytes, and all files of a recipe may have {256 << 20}: put what is large into a package"
    )
    assert named["config/includes.chroot/linked"].startswith(f"has {1 << 40} bytes")
    assert named["config/includes.chroot/large"].startswith(f"has {255 << 20} bytes"), (
        "with the other two it is too much"
    )
    assert (
        named["config/binary"]
        == f"has {2 << 20} bytes, and settings may have {1 << 20}: put what is large into a package"
    )
    assert {file.path for file in read.files} >= {"config/includes.binary/b", "config/common"}
    assert sum(len(file.content) for file in read.files) < 4 << 20


def test_what_git_would_take_for_its_own_is_named(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    for name in (
        "includes.chroot/srv/site/.git/objects/x", "includes.chroot/etc/.GIT", ".git/config", "includes.chroot/srv/.gitignore",
        "includes.binary/.gitattributes", "hooks/normal/.gitignore",
    ):  # fmt: skip
        (tree / "config" / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / "config" / name).write_text("*\n")
    found = from_live_build(read_tree(tree, tmp_path / "none"), "x", "r")
    said = lost(found)
    assert said["config/includes.chroot/srv/site/.git"].startswith("git takes nothing that is called so")
    assert said["config/includes.chroot/etc/.GIT"].startswith("git takes nothing that is called so")
    assert "git status --ignored" in said["config/includes.chroot/srv/.gitignore"]
    assert "line ends" in said["config/includes.binary/.gitattributes"]
    assert {"config/.git", "config/hooks/normal/.gitignore"}.isdisjoint(said)
    paths = {file.path for file in found.files}
    assert "includes.chroot/srv/.gitignore" in paths
    assert not any(".git/" in path.casefold() or path.casefold().endswith(".git") for path in paths)


def test_passwords_in_addresses_are_in_no_table_and_no_line_of_the_report() -> None:
    found = from_live_build(
        tree_of({
            "auto/config": f"{SH}lb config --mirror-binary https://ada:s3cret@deb.example/debian "
            "--apt-http-proxy http://s3cret@proxy:8 --mirror-chroot 'http://a:$(s3cret)@x/'\n",
            "config/common": 'LB_DISTRIBUTION="bookworm"\nLB_MIRROR_CHROOT_SECURITY="https://s3cr@t:s3cret@deb.example/security"\n'
            "echo http://ada:s3cret@host/\n",
            "config/archives/o.list": "deb [arch=amd64] https://ada:s3cret@o.example/apt bookworm main\ndeb https://s3cret@broken\n",
        }), "x", "r",
    )  # fmt: skip
    text = repr(found.notices) + found.tables
    assert "s3cret" not in text.replace("$(s3cret)", "")
    assert 'live_url = "https://deb.example/debian"' in found.tables
    assert '"https://o.example/apt"' in found.tables
    named = {one.what for one in found.notices if "the name and password in its address" in one.how}
    assert named == {"LB_MIRROR_BINARY", "LB_MIRROR_CHROOT_SECURITY", "LB_APT_HTTP_PROXY", "config/archives/o.list"}


def test_names_of_files_print_no_signs_that_a_terminal_obeys(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    (tree / "config" / "hooks" / "normal" / "\x1b[2J\nevil  honoured \u202e.hook.container").write_text(SH)
    done = CliRunner().invoke(command, ["import", str(tree), "--into", str(tmp_path / "repo"), "--name", "kiosk"])
    assert done.exit_code == 0, done.output
    assert "\\x1b[2J\\nevil" in done.stdout
    assert not any(sign in done.stdout + done.stderr for sign in "\x1b\u202e")
    assert not any(line.startswith("evil") for line in done.stdout.splitlines())


def test_the_command_says_everything_and_writes_it(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    into = tmp_path / "repo"
    dry = CliRunner().invoke(command, ["import", str(tree), "--into", str(into), "--dry-run"])
    assert (dry.exit_code, into.exists()) == (0, False)
    done = CliRunner().invoke(command, ["import", str(tree), "--into", str(into), "--name", "kiosk"])
    assert done.exit_code == 0
    assert (into / "images/kiosk/hooks/normal/1.hook.chroot").read_text() == SH
    assert "config/environment.chroot" in done.stdout
    assert "[archive.other]" in done.stdout
    assert "dch --create --package kiosk" in done.stderr
    assert not into.joinpath("images/kiosk/environment.chroot").exists()
