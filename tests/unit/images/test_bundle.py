"""The bundle of an image: all that is needed elsewhere and no more, the same bytes each time, read as what a stranger may send."""

import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.habits.samples import INPUTS
from tests.unit.images import test_account
from tests.unit.images.test_account import OURS, World
from tests.unit.images.test_build import HELLO, fetched
from tests.worlds.archive import make_deb, signer
from tests.worlds.installation import config, make_context

from distwright.archive.tree import parse_root
from distwright.builds.environment import EnvironmentRecipe
from distwright.config.tables_archive import UpstreamArchive
from distwright.errors import BadInput, DistwrightError, NotFound, Refused
from distwright.images.bundle import OBJECTS_LIMIT_BYTES, Bundle, parse_sums, read_bundle, write_bundle
from distwright.images.forms import BUILD_KIND
from distwright.images.own_packages import with_own_packages
from distwright.images.recorded import recorded_archives
from distwright.jobs.order import JobOrder
from distwright.jobs.step import StepResult
from distwright.model import plain
from distwright.model.digests import Json, sha256_of
from distwright.store.memory import MemoryObjects

HOOK, TAR = b"#!/bin/sh\n", b"a tar"
CARRIED = make_deb("carried", "1.0")
world = test_account.world  # the fixture


@pytest.fixture
def keyring(tmp_path: Path, world: World) -> bytes:
    """Let the configuration name a keyring of this machine."""
    (tmp_path / "upstream.asc").write_bytes(signer("upstream").certificate())
    debian = config().archives["debian"].model_copy(update={"keyring": str(tmp_path / "upstream.asc")})
    assert isinstance(debian, UpstreamArchive)
    world.context.config = replace(config(), archives={**config().archives, "debian": debian})
    return signer("upstream").certificate()


def inputs_of(world: World) -> dict[str, Json]:
    """Give an order with a recipe that brings a package, a hook and files."""
    put = world.context.objects.put
    recipe = EnvironmentRecipe.from_json(plain.mapping(world.inputs, "root"))
    root, _ = with_own_packages(recipe, {"carried.deb": CARRIED.content}, world.context.objects)
    return {
        **INPUTS["image.build"], **world.inputs, "outputs": ["iso", "bundle"], "root": root.to_json(), "includes": str(put(TAR)),
        "hooks": {"0100-a.hook.chroot": str(put(HOOK))},
    }  # fmt: skip


def made(world: World, path: Path, sums: bytes = b"", **more: Json) -> Path:
    """Write the bundle of that order."""
    earlier = world.earlier({})
    earlier["tools"] = StepResult(earlier["tools"].outputs, (fetched(OURS, "petrel/devel"), fetched(HELLO)))
    text = sums or f"{sha256_of(b'an iso')}  petrel-1.iso\n".encode()
    digest = write_bundle(world.context, {**inputs_of(world), **more}, earlier, text, b"signature\n")
    path.write_bytes(world.context.objects.read(digest))
    return path


@pytest.mark.usefixtures("keyring")
def test_a_bundle_has_the_order_and_all_that_it_names_but_what_archives_serve(world: World, tmp_path: Path) -> None:
    objects = MemoryObjects()
    found = read_bundle(made(world, tmp_path / "b"), objects)
    inputs = inputs_of(world)
    assert found.order == json.loads(json.dumps(inputs))
    assert found.digest == JobOrder(BUILD_KIND, inputs, "x").digest
    assert (found.name, found.url) == ("petrel-1", "https://petrel.example")
    assert found.sums == {"petrel-1.iso": sha256_of(b"an iso")}
    assert objects.read(sha256_of(TAR)) == TAR
    assert objects.read(sha256_of(HOOK)) == HOOK
    assert objects.read(CARRIED.sha256) == CARRIED.content
    debian, ours = world.shelf
    assert not objects.has(debian.document), "that is what the archive serves"
    assert not objects.has(OURS.sha256)
    leaves = [leaf.digest for parts in parse_root(objects.read(ours.document)).lists.values() for leaf in parts]
    assert leaves
    assert all(objects.has(leaf) for leaf in leaves), "for the suite moves on"


@pytest.mark.usefixtures("keyring")
@pytest.mark.usefixtures("keyring")
def test_it_says_what_made_the_root_beside_the_order_and_not_in_it(world: World, tmp_path: Path) -> None:
    plain_one = read_bundle(made(world, tmp_path / "a"))
    told = read_bundle(made(world, tmp_path / "b", made_by={"apt": "2.6.1", "mmdebstrap": "1.3.5-7"}))
    assert (plain_one.made_by, told.made_by) == ({}, {"apt": "2.6.1", "mmdebstrap": "1.3.5-7"})
    assert (told.order, told.digest) == (plain_one.order, plain_one.digest)


def test_it_names_states_by_their_serial_and_the_files_of_ours_that_were_used(world: World, tmp_path: Path) -> None:
    found = read_bundle(made(world, tmp_path / "b"))
    [snapshot] = found.snapshots
    assert (snapshot.archive, snapshot.document) == ("debian", world.shelf[0].document)
    assert {file.path: file.sha256 for file in found.pool["petrel"]} == {
        OURS.pool_path(): OURS.sha256, HELLO.pool_path(): HELLO.sha256,
    }  # fmt: skip
    assert list(found.pool) == ["petrel"]


def test_it_has_what_records_a_state_and_nothing_of_where_and_how_we_do(
    world: World,
    keyring: bytes,
    tmp_path: Path,
) -> None:
    found = read_bundle(made(world, tmp_path / "b"))
    assert found.keyrings == {"debian": keyring}
    assert set(found.tables) == {"debian"}
    assert {"suites", "components", "architectures", "sources"} <= set(found.tables["debian"])
    assert not {"fetch_from", "live_url", "key", "pool", "keep_days"} & set(found.tables["debian"])


def test_it_says_how_states_were_recorded_when_the_image_was_ordered_and_not_how_they_are_now(
    world: World, keyring: bytes, tmp_path: Path
) -> None:
    context = world.context
    recorded = recorded_archives(context.database, context.config, context.objects, ["debian"])
    before = read_bundle(made(world, tmp_path / "before"))
    (tmp_path / "upstream.asc").write_bytes(signer("petrel").certificate())
    debian = context.config.archives["debian"].model_copy(update={"origin": "Another"})
    context.config = replace(context.config, archives={**context.config.archives, "debian": debian})
    found = read_bundle(made(world, tmp_path / "b", recorded=recorded))
    assert (found.tables, found.keyrings) == (before.tables, {"debian": keyring})
    assert context.objects.read(sha256_of(keyring)) == keyring
    assert found.digest == JobOrder(BUILD_KIND, {**inputs_of(world), "recorded": recorded}, "x").digest
    now = read_bundle(made(world, tmp_path / "now"))
    assert (now.tables["debian"]["origin"], now.keyrings["debian"]) == ("Another", signer("petrel").certificate())


@pytest.mark.usefixtures("keyring")
def test_the_same_image_has_the_same_bundle(world: World, tmp_path: Path) -> None:
    assert made(world, tmp_path / "a").read_bytes() == made(world, tmp_path / "b").read_bytes()
    with tarfile.open(tmp_path / "a") as tar:
        members = tar.getmembers()
    assert {(one.mtime, one.uid, one.mode) for one in members} == {(0, 0, 0o644)}
    assert [one.name for one in members] == sorted(one.name for one in members)


@pytest.mark.usefixtures("keyring")
def test_an_image_brings_its_bundle_only_if_it_is_asked_for_and_no_sum_names_it(world: World) -> None:
    asked: dict[str, Json] = {
        "outputs": ["iso", "bundle"],
        "includes": str(world.context.objects.put(TAR)),
        "hooks": {},
    }
    assert "bundle" not in world.papers()
    found = world.papers(asked)
    assert "bundle" in found
    assert b"bundle" not in found["SHA256SUMS"]
    with tarfile.open(fileobj=io.BytesIO(found["bundle"])) as tar:
        sums = tar.extractfile("SHA256SUMS")
        assert sums is not None
        assert sums.read() == found["SHA256SUMS"]


def test_a_state_that_is_recorded_no_more_is_named(world: World, keyring: bytes, tmp_path: Path) -> None:
    other = make_context(tmp_path / "other")
    other.config = world.context.config
    other.objects = world.context.objects
    with pytest.raises(NotFound, match="the state of debian/stable is recorded no more"):
        write_bundle(other, inputs_of(world), world.earlier({}), b"", keyring)


def packed(members: Mapping[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.type, member.size = kind, len(content) if kind == tarfile.REGTYPE else 0
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


ORDER: Any = INPUTS["image.build"]
SHELF = ORDER["root"]["shelf"]


def values(**changed: Any) -> dict[str, Any]:
    """Give what a bundle says. changed: members of it; in `order`, members of the order."""
    order = {**ORDER, "name": "petrel-1", **changed.pop("order", {})}
    snapshots = [
        {"archive": entry["archive"], "serial": "2026112301", "document": entry["document"]}
        for entry in SHELF if not entry.get("is_own")
    ]  # fmt: skip
    return {
        "format": 1, "version": 1, "order": order, "url": "", "snapshots": snapshots,
        "pool": {entry["archive"]: [] for entry in SHELF if entry.get("is_own")},
        "archives": {one["archive"]: {"keyring": "/k"} for one in snapshots}, **changed,
    }  # fmt: skip


def document(**changed: Any) -> bytes:
    return json.dumps(values(**changed)).encode()


GOOD = {"bundle.json": document(), "SHA256SUMS": b"", "SHA256SUMS.asc": b""}


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (b"no tar", BadInput, "is no bundle"),
        (packed(GOOD)[:700], BadInput, "is no bundle"),
        (packed({"SHA256SUMS": b""}), BadInput, r"has no SHA256SUMS\.asc, bundle\.json"),
        (packed({**GOOD, "bundle.json": b"{"}), BadInput, "cannot be read"),
        (packed({**GOOD, "bundle.json": b"[" * 100_000}), BadInput, "cannot be read"),
        (packed({**GOOD, "bundle.json": document(format=2)}), Refused, "another version"),
        (packed({**GOOD, "bundle.json": document(version=2)}), Refused, "another version"),
        (packed({**GOOD, "bundle.json": document(order={"name": "../x"})}), BadInput, "no name of an image"),
        (packed({**GOOD, "bundle.json": document(archives={"d": {"x\n[upload.eve]": 1}})}), BadInput, "of an archive"),
        (packed({**GOOD, "bundle.json": document(made_by={"x\n": "1"})}), BadInput, "makes no root of an image"),
        (packed({**GOOD, "bundle.json": document(made_by={"apt": "1 \x1b"})}), BadInput, "version"),
        (packed({**GOOD, "bundle.json": document(archives={"d": {"fetch_from": "file:///"}})}), BadInput, "'fetch_from'"),
        (packed({**GOOD, "SHA256SUMS": b"no sum\n"}), BadInput, "is no line of SHA256SUMS"),
        (packed({**GOOD, "SHA256SUMS": b"0" * 64 + b"  a/b\n"}), BadInput, "is no line of SHA256SUMS"),
        (packed({**GOOD, f"objects/{'0' * 64}": b"other bytes"}), Refused, "0" * 12),
        (packed({"link": b""}, tarfile.SYMTYPE), BadInput, "has no place in a bundle"),
        (packed({**GOOD, "more": b""}), BadInput, "'more' has no place in a bundle"),
    ],
)  # fmt: skip
def test_what_is_no_bundle_is_refused(tmp_path: Path, content: bytes, error: type[DistwrightError], said: str) -> None:
    (tmp_path / "b").write_bytes(content)
    with pytest.raises(error, match=said):
        read_bundle(tmp_path / "b", MemoryObjects())


def extended(name: str, **headers: str) -> bytes:
    row = tarfile.TarInfo(name)
    row.pax_headers = {key.replace("__", "."): value for key, value in headers.items()}
    return row.tobuf(tarfile.PAX_FORMAT) + bytes(1024)


@pytest.mark.parametrize(
    "content",
    [
        extended("bundle.json", GNU__sparse__map="abc"), extended("bundle.json", mtime="inf"),
        extended("bundle.json", comment="x" * 300_000),
    ],
    ids=["sparse", "time", "long"],
)  # fmt: skip
def test_hostile_extended_headers_are_refused_and_not_read_whole(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b").write_bytes(content)
    with pytest.raises(BadInput, match="b is no bundle of an image: ") as refused:
        read_bundle(tmp_path / "b", MemoryObjects())
    assert refused.value.hint.startswith("fetch it again")


def test_objects_of_a_bundle_have_a_bound_and_each_comes_once(tmp_path: Path) -> None:
    one = packed({f"objects/{sha256_of(b'one')}": b"one"})
    (tmp_path / "b").write_bytes(one[:1024] + one)
    with pytest.raises(BadInput, match="has no place in a bundle"):
        read_bundle(tmp_path / "b", MemoryObjects())
    huge = tarfile.TarInfo(f"objects/{'0' * 64}")
    huge.size = OBJECTS_LIMIT_BYTES + 1
    (tmp_path / "b").write_bytes(huge.tobuf(tarfile.PAX_FORMAT) + bytes(4096))
    with pytest.raises(BadInput, match="the bundle has too much"):
        read_bundle(tmp_path / "b")


def test_a_bundle_that_is_cut_off_within_a_member_is_refused(tmp_path: Path) -> None:
    whole = packed({**GOOD, f"objects/{sha256_of(b'one' * 500)}": b"one" * 500})
    for length in (length for length in range(0, 512 * 9, 128) if length % 512):
        (tmp_path / "b").write_bytes(whole[:length])
        with pytest.raises(BadInput):
            read_bundle(tmp_path / "b", MemoryObjects())


def test_a_bundle_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="cannot be read"):
        read_bundle(tmp_path / "gone")


def test_sums_are_read_as_sha256sum_writes_them() -> None:
    one, other = sha256_of(b"1"), sha256_of(b"2")
    assert parse_sums(f"{one}  a b.iso\n{other}  c\n".encode()) == {"a b.iso": one, "c": other}
    assert isinstance(Bundle.from_parts(GOOD), Bundle)
