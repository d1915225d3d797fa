"""Upstream's tarballs: what is looked for, in which order, and what a missing one is called."""

import io
import tarfile
from pathlib import Path

import pytest
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.repos import changelog, commit
from tests.worlds.times import DATE

from distwright.builds.checkout import Checkout, read_checkout
from distwright.builds.origs import Origs, Upstream, choose, find_origs
from distwright.errors import BadInput, NotFound
from distwright.model.digests import Sha256, sha256_of
from distwright.store.suites import insert_pool_names
from distwright.tools.git import git

QUILT = {"debian/changelog": changelog("greeter", "1:1.0~rc1-1"), "debian/source/format": "3.0 (quilt)\n"}
UPSTREAM = {"greet": "hello\n"}
NAME = "greeter_1.0~rc1.orig.tar.xz"
ARCHIVES = {"petrel": ("main", "contrib")}


@pytest.fixture
def context(tmp_path: Path) -> WorldContext:
    return make_context(tmp_path)


def package(context: WorldContext, **files: str) -> Checkout:
    """Commit a package beside its upstream; give its checkout."""
    named = {name.replace("__", "/").replace("_", "."): text for name, text in files.items()}
    head = commit(context.paths, "greeter", {**QUILT, **named})
    return read_checkout(context.paths.repo("greeter"), head, "tag 1 of greeter")


def upstream(context: WorldContext, *, tag: str | None = None, branch: str = "upstream") -> str:
    return commit(context.paths, "greeter", UPSTREAM, branch=branch, tag=tag)


def find(context: WorldContext, checkout: Checkout) -> Origs:
    return find_origs(context.database, context.objects, checkout, ARCHIVES)


def names_in(context: WorldContext, tree: Sha256) -> list[tuple[str, int]]:
    with tarfile.open(fileobj=io.BytesIO(context.objects.read(tree))) as tar:
        return [(member.name, int(member.mtime)) for member in tar]


def test_a_native_package_needs_none(context: WorldContext) -> None:
    for kind, version in (("3.0 (native)\n", "1.0"), ("1.0\n", "1.0")):
        checkout = package(context, debian__source__format=kind, debian__changelog=changelog("greeter", version))
        assert find(context, checkout) == Origs()
    assert Origs().to_inputs() == {}


@pytest.mark.parametrize(
    ("tag", "gbp"),
    [
        ("upstream/1.0_rc1", ""),
        ("v1.0-rc1", "[DEFAULT]\nupstream-tag = v%(version%~%-)s\n"),
        ("upstream/1.0_rc1", "[DEFAULT]\nupstream-tag = v%(version)s\npristine-tar = True\n"),
    ],
)
def test_it_is_made_of_upstreams_tag(context: WorldContext, tag: str, gbp: str) -> None:
    upstream(context, tag=tag)
    checkout = package(context, **({"debian__gbp_conf": gbp} if gbp else {}))
    found = find(context, checkout)
    assert ([one.name for one in found.upstream], found.files) == ([NAME], {})
    date = int(DATE.timestamp())
    assert names_in(context, found.upstream[0].tree) == [("greeter-1.0~rc1", date), ("greeter-1.0~rc1/greet", date)]
    assert found.to_inputs() == {"upstream": [{"name": NAME, "tree": found.upstream[0].tree}]}
    assert find(context, checkout) == found


@pytest.mark.parametrize(
    ("text", "name"), [("compression = gzip", "greeter_1.0~rc1.orig.tar.gz"), ("compression = auto", NAME)]
)
def test_it_is_packed_as_gbp_conf_says(context: WorldContext, text: str, name: str) -> None:
    upstream(context, tag="upstream/1.0_rc1")
    assert [one.name for one in find(context, package(context, debian__gbp_conf=f"[DEFAULT]\n{text}\n")).upstream] == [
        name
    ]


def test_an_old_format_knows_gzip_alone(context: WorldContext) -> None:
    upstream(context, tag="upstream/1.0_rc1")
    found = find(context, package(context, debian__source__format="1.0\n"))
    assert [one.name for one in found.upstream] == ["greeter_1.0~rc1.orig.tar.gz"]


def test_of_upstreams_branch_the_newest_commit_counts_that_the_package_contains(context: WorldContext) -> None:
    """The branch moves on, and the same commit gives the same bytes."""
    first = upstream(context, branch="upstream/latest")
    git(context.paths.repo("greeter"), "update-ref", "refs/heads/main", first)
    checkout = package(context)
    found = find(context, checkout)
    assert [name for name, _ in names_in(context, found.upstream[0].tree)] == [
        "greeter-1.0~rc1",
        "greeter-1.0~rc1/greet",
    ]
    commit(context.paths, "greeter", {"greet": "bonjour\n"}, branch="upstream/latest")
    assert find(context, checkout) == found


def test_the_tip_of_a_branch_counts_only_if_gbp_conf_says_so(context: WorldContext) -> None:
    upstream(context)
    with pytest.raises(NotFound):
        find(context, package(context))
    found = find(context, package(context, debian__gbp_conf="[DEFAULT]\nupstream-tree = BRANCH\n"))
    assert [one.name for one in found.upstream] == [NAME]


def known_to_the_archive(context: WorldContext, **files: bytes) -> dict[str, Sha256]:
    kept = {name: context.objects.put(content) for name, content in files.items()}
    with context.database.write() as tx:
        insert_pool_names(tx, "petrel", [(f"pool/contrib/g/greeter/{name}", digest) for name, digest in kept.items()])
    return kept


def test_what_was_uploaded_under_its_name_is_taken_again(context: WorldContext) -> None:
    upstream(context, tag="upstream/1.0_rc1")
    checkout = package(context)
    kept = known_to_the_archive(
        context, **{NAME: b"xz", f"{NAME}.asc": b"signed", "greeter_1.0~rc1.orig-data.tar.gz": b"gz",
                    "greeter_1.0~rc1.orig.zip": b"", "greeter_1.0~rc1.original.tar.xz": b"", "greeter_1.0.orig.tar.xz": b"",
                    "greeter_1.0~rc1.orig.tar.gz": b"gz"}
    )  # fmt: skip
    names = [NAME, f"{NAME}.asc", "greeter_1.0~rc1.orig-data.tar.gz"]
    assert find(context, checkout) == Origs({name: kept[name] for name in names})
    inputs = find(context, checkout).to_inputs()
    assert inputs == {"origs": {name: kept[name] for name in names}}
    context.objects.path(kept[NAME]).unlink()  # type: ignore[attr-defined]  # it is one of files
    assert [one.name for one in find(context, checkout).upstream] == [NAME], "what is lost cannot be taken"


def described(context: WorldContext, identity: str, *, name: str = NAME, **more: str) -> None:
    commit(
        context.paths,
        "greeter",
        {f"{name}.delta": "delta", f"{name}.id": f"{identity}\n", **more},
        branch="pristine-tar",
    )


def test_what_pristine_tar_describes_counts_first(context: WorldContext) -> None:
    head = upstream(context)
    described(context, git(context.paths.repo("greeter"), "rev-parse", f"{head}^{{tree}}").decode().strip(),
              **{f"{NAME}.asc": "signed", "greeter_0.9.orig.tar.xz.delta": "other"})  # fmt: skip
    known_to_the_archive(context, **{NAME: b"other"})
    found = find(context, package(context))
    (one,) = found.upstream
    assert (one.name, one.delta) == (NAME, sha256_of(b"delta"))
    assert names_in(context, one.tree) == [("greet", 0)], "its files alone, for a delta is to them"
    assert found.files == {f"{NAME}.asc": sha256_of(b"signed")}
    assert [Upstream.from_json(value) for value in found.to_inputs()["upstream"]] == [one]  # type: ignore[union-attr]


def test_pristine_tar_is_left_alone_if_gbp_conf_says_so(context: WorldContext) -> None:
    described(context, "0" * 40)
    upstream(context, tag="upstream/1.0_rc1")
    found = find(context, package(context, debian__gbp_conf="[DEFAULT]\npristine-tar = False\n"))
    assert [one.delta for one in found.upstream] == [None]


@pytest.mark.parametrize("identity", ["", "main", "--help", "0" * 39, "0" * 40 + "\nx"])
def test_a_description_without_a_proper_name_of_its_content_is_refused(context: WorldContext, identity: str) -> None:
    described(context, identity)
    with pytest.raises(
        BadInput, match=r"branch pristine-tar of greeter has no proper greeter_1\.0~rc1\.orig\.tar\.xz\.id"
    ):
        find(context, package(context))


def test_a_described_content_that_was_not_pushed_is_named(context: WorldContext) -> None:
    described(context, "1" * 40)
    with pytest.raises(NotFound, match=r"its content 111111111111 was not pushed") as caught:
        find(context, package(context))
    assert "git push origin upstream --tags" in caught.value.hint


def test_where_there_is_none_it_says_what_was_looked_for(context: WorldContext) -> None:
    with pytest.raises(NotFound) as caught:
        find(context, package(context, debian__gbp_conf="[DEFAULT]\nupstream-tag = v%(version)s\n"))
    assert caught.value.message == (
        "tag 1 of greeter is 3.0 (quilt) and needs upstream's source of 1.0~rc1, but there is no greeter_1.0~rc1.orig.tar.* on "
        "branch pristine-tar or in the archive, no tag 'v1.0_rc1' or 'upstream/1.0_rc1', and no branch 'upstream' or "
        "'upstream/latest' that it contains"
    )
    assert caught.value.hint.startswith("git tag v1.0_rc1 COMMIT")


STEM = "x_1.orig"


@pytest.mark.parametrize(
    ("names", "kind", "expected"),
    [
        ([], "3.0 (quilt)", {}),
        (["x_1.orig-doc.tar.xz"], "3.0 (quilt)", {}),
        (["x_1.orig.tar.gz", "x_1.orig.tar.bz2"], "3.0 (quilt)", {"x_1.orig.tar.gz": ""}),
        (["x_1.orig.tar.gz", "x_1.orig.tar.gz.asc", "x_1.orig-b.tar.xz", "x_1.orig-b.tar.gz"], "3.0 (quilt)",
         {"x_1.orig.tar.gz": "x_1.orig.tar.gz.asc", "x_1.orig-b.tar.xz": ""}),
        (["x_1.orig.tar.xz", "x_1.orig-b.tar.gz"], "1.0", {}),
        (["x_1.orig.tar.xz", "x_1.orig.tar.gz"], "1.0", {"x_1.orig.tar.gz": ""}),
        (["x_1.orig.tar.gz/../x", "x_1.orig-.tar.gz", "x_1.orig.tar.zst", "x_1.origtar.gz"], "3.0 (quilt)", {}),
    ],
)  # fmt: skip
def test_of_each_component_one_tarball_is_chosen(names: list[str], kind: str, expected: dict[str, str]) -> None:
    assert choose(names, STEM, kind) == expected
