"""What a stranger's bundle says is wrong in the bundle and never a bug of ours: each value of it, made into something else."""

import copy
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.images.test_bundle import GOOD, packed, values

from distwright.checks.image_rebuild import order_of
from distwright.errors import BadInput, DistwrightError, Refused
from distwright.images.build import IMAGE_BUILD
from distwright.images.bundle import Bundle, read_bundle
from distwright.jobs.step import Step, StepResult
from distwright.model.digests import sha256_of
from distwright.site.verifying import config_of, served_states

STRANGE: tuple[Any, ...] = (
    None,
    True,
    -1,
    1 << 70,
    "",
    "../..",
    "a\n[upload.eve]",
    "\ud800",
    [],
    [["x"]],
    {},
    {"x": {"y": 1}},
    {"/": "x"},
)
ONE = sha256_of(b"1")
MORE = {
    "form": 5, "repo": "live", "branch": "main", "version": "1", "url": "", "keyrings": {}, "vendors": {},
    "outputs": ["iso", "usb", "netboot"], "before": ONE, "preseed": {"a": ONE}, "medium_hooks": {"a": ONE}, "medium": ONE,
    "menu": "linux persistence", "persistence_mb": 1, "upgrade_mb": 1, "compression": "xz", "recommends": True, "trackers": ["x"],
    "recorded": {}, "mentioned": ["x"],
}  # fmt: skip
EARLIER = StepResult(
    {name: sha256_of(b"1") for name in ("root", "squashfs", "iso", "vmlinuz", "initrd", "initrd-root")}
)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the way to each value in it."""
    yield at
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        yield from places(member, (*at, key))


def changed_at(whole: Any, at: tuple[Any, ...], value: Any) -> Any:
    """Put another value there."""
    *way, last = at
    made = copy.deepcopy(whole)
    inner = made
    for key in way:
        inner = inner[key]
    inner[last] = value
    return made


def read(document: Any) -> Bundle:
    return Bundle.from_parts({**GOOD, "bundle.json": json.dumps(document).encode()})


WHOLE = json.loads(json.dumps(values(order=MORE, url="http://127.0.0.1/")))


def test_an_order_with_all_that_there_is_can_be_read_and_planned() -> None:
    plan_all(read(WHOLE))


def plan_all(bundle: Bundle) -> None:
    """Go through what follows from a bundle without a network or a disk."""
    config_of(bundle)
    served_states(bundle, "http://127.0.0.1")
    inputs = order_of(bundle.order, bundle.digest, bundle.sums, elsewhere=True).inputs
    earlier = dict.fromkeys(("tools", "root", "customise", "installed", "initrd", "squashfs", "iso"), EARLIER)
    for step in IMAGE_BUILD.steps:
        if isinstance(step, Step):
            assert step.plan is not None
            step.plan(inputs, earlier)


@pytest.mark.parametrize("key", sorted({*WHOLE, *WHOLE["order"]} - {"order"}))
def test_whatever_is_said_instead_of_a_value_is_refused_as_the_bundles_own_or_can_be_planned(key: str) -> None:
    top = (key,) if key in WHOLE else ("order", key)
    inner = WHOLE
    for part in top:
        inner = inner[part]
    for at in places(inner, top):
        for strange in STRANGE:
            try:
                bundle = read(changed_at(WHOLE, at, strange))
            except (BadInput, Refused):
                continue
            if at != ("order", "menu"):  # what a menu must say for a stick is asked when it is made
                plan_all(bundle)


def test_what_is_wrong_is_said_with_the_name_of_the_bundle_and_nobody_is_told_to_report_a_bug(tmp_path: Path) -> None:
    path = tmp_path / "theirs.bundle"
    for at, said in (
        (("format",), "'format'"), (("order", "epoch"), "'epoch'"), (("order", "root", "variant"), "'variant'"),
        (("snapshots",), "'snapshots'"), (("url",), "'url'"),
    ):  # fmt: skip
        path.write_bytes(packed({**GOOD, "bundle.json": json.dumps(changed_at(WHOLE, at, {"x": 1})).encode()}))
        with pytest.raises(BadInput, match=f"theirs.bundle is no bundle of an image: {said} is ") as refused:
            read_bundle(path)
        assert refused.value.hint.startswith("fetch it again")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"order": {"form": 6}}, "a later version"), ({"order": {"base": {}}}, "'base' is no word"),
        ({"order": {"hooks": {"../../evil": sha256_of(b"")}}}, r"'\.\./\.\./evil' is no name of a file \(hooks\)"),
        ({"order": {"files": {"..": ""}}}, "is no name of a file"), ({"order": {"compression": "none"}}, "is no compression"),
        ({"order": {"image": "../x"}}, "cannot name a image"), ({"order": {"epoch": 1 << 60}}, "is no epoch"),
        ({"archives": {}}, "does not say how 'debian' is recorded"), ({"snapshots": []}, "does not say where 'debian/"),
        ({"archives": {"debian": {"keyring": "/k", "suites": [{"a = 1 }\n[upload.eve]\nx": 1}]}}}, "is no value of suites"),
        ({"archives": {"debian": {}}}, "'keyring' is missing"),
        ({"pool": {"petrel": [{"path": "../../etc/passwd", "sha256": sha256_of(b""), "size_bytes": 1}]}}, "no file of a pool"),
        ({"pool": {"petrel": [{"path": "p", "sha256": sha256_of(b""), "size_bytes": 1 << 62}]}}, "no file of a pool"),
    ],
)  # fmt: skip
def test_what_no_installation_of_ours_writes_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(DistwrightError, match=said):
        read(values(**change))


def test_names_that_eat_memory_have_a_bound(tmp_path: Path) -> None:
    """A longname header of 200 KiB for each of many empty members: all of them would be kept."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for number in range(3):
            tar.addfile(tarfile.TarInfo(f"keyrings/{number}{'a' * 200_000}"))
    (tmp_path / "b").write_bytes(out.getvalue())
    with pytest.raises(BadInput, match="has no place in a bundle"):
        read_bundle(tmp_path / "b")


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_an_extended_header_of_gigabytes_is_refused_by_its_size_alone(tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("x")
    member.type, member.size = kind, 8 << 30
    path = tmp_path / "b"
    with path.open("wb") as file:
        file.write(member.tobuf(tarfile.GNU_FORMAT))
        file.truncate(9 << 30)  # takes no room
    with pytest.raises(BadInput, match="extended header of 8589934592 bytes"):
        read_bundle(path)


@pytest.mark.parametrize("text", ["[" + "0," * (1 << 20) + "0]", '{"order":' * 990 + "0" + "}" * 990, " " * (17 << 20)])
def test_a_document_that_would_take_much_more_memory_than_it_has_bytes_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "b").write_bytes(packed({**GOOD, "bundle.json": text.encode()}))
    with pytest.raises(BadInput, match="is no bundle of an image"):
        read_bundle(tmp_path / "b")


def test_what_is_no_file_is_not_read_for_ever() -> None:
    with pytest.raises(BadInput, match="/dev/zero is no bundle of an image: it is no file"):
        read_bundle(Path("/dev/zero"))
