"""Recipes: package lists, includes and hooks in live-build's folders; everything that is wrong is said at once."""

import io
import tarfile
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distwright.errors import BadInput
from distwright.images.recipe import Recipe, includes_tar, parse_recipe
from distwright.images.recipe_files import ImageFile
from distwright.model.digests import sha256_of

EPOCH = 1704888000
LIST = ImageFile("package-lists/base.list.chroot", b"live-boot\n", is_executable=False)


def plain_file(path: str, content: str = "", *, executable: bool = False, link: str | None = None) -> ImageFile:
    return ImageFile(path, content.encode(), executable, link)


def problems(*files: ImageFile) -> list[str]:
    with pytest.raises(BadInput) as caught:
        parse_recipe(list(files))
    head, *lines = caught.value.message.split("\n")
    assert (head, caught.value.hint) == ("the recipe has problems:", "see docs/reference/recipe.md")
    return [line.removeprefix("  ") for line in lines]


def test_a_recipe_is_its_packages_once_its_includes_and_its_hooks_by_name() -> None:
    recipe = parse_recipe(
        [
            plain_file("package-lists/b.list.chroot", "sudo  live-boot # why\n# a comment\n\n#another\nlibstdc++6\n"),
            plain_file("package-lists/a.list.chroot", "live-boot\nlinux-image-amd64"),
            plain_file("hooks/0900-last.hook.chroot", "#!/bin/sh\ntrue\n"),
            plain_file("hooks/0100-first.hook.chroot", "#!/bin/sh\nfalse\n"),
            plain_file("includes.chroot/etc/motd", "hello\n"),
            plain_file("README.md", "for people"),
        ]
    )
    assert recipe == Recipe(
        packages=("libstdc++6", "linux-image-amd64", "live-boot", "sudo"),
        includes=(plain_file("etc/motd", "hello\n"),),
        hooks={"0100-first.hook.chroot": "#!/bin/sh\nfalse\n", "0900-last.hook.chroot": "#!/bin/sh\ntrue\n"},
        asked_at={
            "live-boot": "package-lists/a.list.chroot:1", "linux-image-amd64": "package-lists/a.list.chroot:2",
            "sudo": "package-lists/b.list.chroot:1", "libstdc++6": "package-lists/b.list.chroot:5",
        },
    )  # fmt: skip
    assert list(recipe.hooks) == ["0100-first.hook.chroot", "0900-last.hook.chroot"]


def test_every_problem_is_said_at_once_with_file_and_line() -> None:
    assert problems(
        plain_file("package-lists/a.list.chroot", "good\n#if COLOUR red\nhidden\n#endif\nBad pkg=x,y\n! task\n"),
        plain_file("package-lists/b.list.binary", "good"),
        plain_file("hooks/plain.hook.chroot", "true\n"),
        plain_file("hooks/later.hook.source", "#!/bin/sh\n"),
        ImageFile("hooks/bytes.hook.chroot", b"#!/bin/sh\n\xff", is_executable=True),
        plain_file("bootloaders/isolinux.cfg"),
        plain_file("notes.txt"),
        plain_file("docs/README.md"),
    ) == sorted(
        [
            "package-lists/a.list.chroot:2: 'COLOUR' has no value here, only: none",
            "package-lists/a.list.chroot:5: 'Bad' is not a package name",
            "package-lists/a.list.chroot:5: 'pkg=x,y' is not a package name",
            "package-lists/a.list.chroot:6: commands are not run, write the packages that it prints",
            "package-lists/b.list.binary: this version has no use for it",
            "hooks/plain.hook.chroot: does not begin with #!",
            "hooks/later.hook.source: no image of sources is made, remove it",
            "hooks/bytes.hook.chroot: is not UTF-8 text",
            "bootloaders/isolinux.cfg: is for another boot loader than GRUB, whose files are in bootloaders/grub-pc/",
            "notes.txt: this version has no use for it",
            "docs/README.md: this version has no use for it",
        ]
    )


def test_a_file_that_the_shell_would_not_find_is_refused_by_name() -> None:
    assert problems(
        LIST,
        plain_file("hooks/.x.hook.chroot", "#!/bin/sh\n"),
        plain_file("package-lists/.y.list.chroot", "sudo"),
        plain_file("hooks/a\nb.hook.chroot", "#!/bin/sh\n"),
        plain_file("hooks/caf\udce9.hook.chroot", "#!/bin/sh\n"),
        plain_file("includes.chroot/etc/.z.hook.chroot", "any file may be called so"),
    ) == [
        r"'hooks/a\nb.hook.chroot': is not a name that can be printed",
        r"'hooks/caf\udce9.hook.chroot': is not a name that can be printed",
        "hooks/.x.hook.chroot: begins with a dot, which would hide it from the shell and from people",
        "package-lists/.y.list.chroot: begins with a dot, which would hide it from the shell and from people",
    ]


def test_a_name_by_which_apt_would_remove_is_no_package() -> None:
    assert problems(LIST, plain_file("package-lists/a.list.chroot", "sudo-\n")) == [
        "package-lists/a.list.chroot:1: 'sudo-' is not a package name"
    ]


@pytest.mark.parametrize("files", [(), (plain_file("package-lists/a.list.chroot", "# nothing\n"),)])
def test_a_recipe_without_packages_is_no_recipe(files: tuple[ImageFile, ...]) -> None:
    assert problems(*files) == ["no package is named in package-lists/*.list.chroot"]


@pytest.mark.parametrize(
    "path", ["hooks/more/0100-x.hook.chroot", "hooks/live/more/x.hook.chroot", "package-lists/more/x.list.chroot"]
)
def test_what_lies_deeper_than_it_is_looked_for_is_refused_and_never_passed_over(path: str) -> None:
    assert problems(LIST, plain_file(path, "#!/bin/sh\n")) == [f"{path}: this version has no use for it"]


@pytest.mark.parametrize("path", ["package-lists/x.list.chroot", "hooks/x.hook.chroot"])
def test_a_symlink_is_no_list_and_no_hook(path: str) -> None:
    linked = plain_file(path, link="../elsewhere")
    assert problems(LIST, linked) == [f"{path}: is a symlink, put the file itself there"]


def members(content: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return tar.getmembers()


RECIPE = Recipe(
    ("live-boot",),
    (
        plain_file("usr/local/bin/greet", "#!/bin/sh\n", executable=True),
        plain_file("etc/motd", "hello\n"),
        plain_file("etc/localtime", link="/usr/share/zoneinfo/UTC"),
        plain_file("etc/grüße", "ß"),
    ),
    {},
)


def test_includes_become_a_tar_owned_by_root_with_all_times_at_the_epoch() -> None:
    shown = [
        (m.name, m.mode, m.mtime, (m.uid, m.gid, m.uname, m.gname), m.linkname)
        for m in members(includes_tar(RECIPE, EPOCH))
    ]
    nobody = (0, 0, "", "")
    assert shown == [
        ("etc/grüße", 0o644, EPOCH, nobody, ""),
        ("etc/localtime", 0o777, EPOCH, nobody, "/usr/share/zoneinfo/UTC"),
        ("etc/motd", 0o644, EPOCH, nobody, ""),
        ("usr/local/bin/greet", 0o755, EPOCH, nobody, ""),
    ]


@given(st.permutations(RECIPE.includes))
def test_the_tar_is_the_same_whatever_order_the_files_come_in(includes: list[ImageFile]) -> None:
    assert includes_tar(replace(RECIPE, includes=tuple(includes)), EPOCH) == includes_tar(RECIPE, EPOCH)


def test_the_tar_differs_by_content_mode_link_and_time() -> None:
    first, *others = RECIPE.includes
    changed = [replace(first, content=b"x"), replace(first, is_executable=False), replace(first, path="usr/x")]
    tars = [includes_tar(replace(RECIPE, includes=(file, *others)), EPOCH) for file in changed]
    tars += [includes_tar(RECIPE, EPOCH), includes_tar(RECIPE, EPOCH + 1)]
    assert len({sha256_of(tar) for tar in tars}) == 5
