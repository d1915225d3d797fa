"""Verifying somebody else's image: where it happens, by which configuration, and what is said of it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf.json_format import ParseDict
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage
from tests.unit.checks.test_rebuild import build_job
from tests.worlds.archive import signer
from tests.worlds.keys import key_file
from tests.worlds.times import NOW

from distwright.builds.environment import EnvironmentRecipe
from distwright.config.load import parse_config
from distwright.errors import BadInput, BadUsage, Busy, NotFound, Refused, Unreachable
from distwright.images.bundle import Bundle, NeededSnapshot
from distwright.images.made_by import other_programs
from distwright.jobs.step import ShelfEntry
from distwright.model.digests import sha256_of
from distwright.model.outcomes import Outcome
from distwright.model.serials import Serial
from distwright.net.fetcher import NO_VALIDATORS, Page, Validators
from distwright.signing.verify import Keyring
from distwright.site.verifying import (
    MARK,
    base_of,
    check_answers,
    check_objects,
    check_signature,
    claimed_folder,
    config_of,
    person_signer,
    remove_folder,
    served_states,
    statement_of,
    verify_folder,
    verify_order,
)
from distwright.store.memory import MemoryObjects

ISO, SUMS = "petrel-1.iso", f"{sha256_of(b'iso')}  petrel-1.iso\n".encode()
KEY = signer("image")
BUNDLE = Bundle(
    order={"image": "petrel", "name": "petrel-1"},
    digest=sha256_of(b"order"),
    url="https://petrel.example",
    sums={ISO: sha256_of(b"iso"), "petrel-1.packages": sha256_of(b"packages")},
    snapshots=(NeededSnapshot("debian", Serial("2024011001"), sha256_of(b"document")),),
    pool={},
    tables={
        "debian": {"kind": "upstream", "suites": ["stable"], "keyring": "/nowhere/debian.gpg", "components": ["main"]}
    },
    keyrings={"debian": b"certificates"},
    signed=SUMS,
    signature=KEY.sign_detached(SUMS),
)


def test_the_configuration_records_the_same_with_the_keyring_of_the_bundle_if_this_machine_has_none(
    tmp_path: Path,
) -> None:
    files, keyrings = config_of(BUNDLE)
    table = parse_config(sorted(files.items())).archives["debian"]
    assert (table.kind, table.suites, table.components) == ("upstream", ("stable",), ("main",))  # type: ignore[union-attr]  # it was found
    assert table.accept_expired  # type: ignore[union-attr]  # it was found
    assert keyrings == {table.keyring: b"certificates"}  # type: ignore[union-attr]  # it was found
    (tmp_path / "debian.gpg").write_bytes(b"ours")
    named = {"debian": {**BUNDLE.tables["debian"], "keyring": str(tmp_path / "debian.gpg")}}
    files, keyrings = config_of(replace(BUNDLE, tables=named))
    assert keyrings == {}
    assert str(tmp_path) in files["distwright.toml"]


def test_states_come_from_where_the_bundle_says_or_from_elsewhere() -> None:
    assert base_of(BUNDLE, None) == "https://petrel.example"
    base = base_of(BUNDLE, "http://127.0.0.1:8080/")
    [served] = served_states(BUNDLE, base)
    assert (served.url, served.digest) == ("http://127.0.0.1:8080/debian/2024011001", sha256_of(b"document"))
    for url in ("", "file:///srv"):
        with pytest.raises(BadUsage, match="does not say where"):
            base_of(replace(BUNDLE, url=url), None)
    assert base_of(replace(BUNDLE, url=""), "file:///srv") == "file:///srv", "a person may"


def test_the_second_build_has_the_circumstances_that_it_has_where_the_first_was_made() -> None:
    here, there = verify_order(BUNDLE, is_here=True), verify_order(BUNDLE, is_here=False)
    assert here.inputs["variation"] == there.inputs["variation"]
    assert ("elsewhere" in here.inputs, "elsewhere" in there.inputs) == (False, True)
    assert here.inputs["built"] == BUNDLE.sums


def test_it_works_in_the_cache_of_the_user_and_in_no_folder_that_is_something_else(tmp_path: Path) -> None:
    assert verify_folder({"HOME": "/home/ada"}, 1000, BUNDLE.digest).is_relative_to(
        "/home/ada/.cache/distwright/verify"
    )
    named = verify_folder({"HOME": "/home/ada", "XDG_CACHE_HOME": "/fast"}, 1000, BUNDLE.digest)
    assert named == Path("/fast/distwright/verify", BUNDLE.digest[:16])
    assert verify_folder({"HOME": "/root"}, 0, BUNDLE.digest).is_relative_to("/var/cache")
    place = tmp_path / "new" / "folder"
    for _ in range(2):
        with claimed_folder(place):
            (place / "db.sqlite").touch()
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear ada").touch()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / MARK).symlink_to(tmp_path / "letters" / "dear ada")
    for strange in (tmp_path / "letters", tmp_path / "linked"):
        with pytest.raises(Refused, match="is not empty, and no folder of a verification"), claimed_folder(strange):
            pass
    with pytest.raises(BadUsage, match="cannot be used"), claimed_folder(tmp_path / "letters" / "dear ada"):
        pass


def test_one_verification_at_a_time_is_in_a_folder_and_what_removes_it_lets_the_next_one_in(tmp_path: Path) -> None:
    place = tmp_path / "folder"

    def remove(path: Path) -> None:
        with (
            pytest.raises(Busy, match=f"another verification of this bundle is at work in {place}"),
            claimed_folder(place),
        ):
            pass
        path.unlink()

    with claimed_folder(place):
        (place / "one").touch()
        (place / "other").touch()
        remove_folder(place, remove)
        assert not place.exists()
        with claimed_folder(place):
            remove_folder(place, Path.unlink)  # the first one, once more: it has no folder any more
    assert not place.exists()


TREE = (
    b'{"format":1,"lists":{"main/source":[["' + b"a" * 64 + b'",1,1,"x"]]},"tombstones":[]}',
    b'{"format":1,"lists":{"main/source":[[1]]},"tombstones":[]}', b'{"format":7}', b"[]", b"\xff", b"[" * 100_000,
)  # fmt: skip


@pytest.mark.parametrize("tree", TREE)
def test_what_the_bundle_lacks_or_has_broken_is_named_before_anything_is_ordered(tree: bytes) -> None:
    objects = MemoryObjects()
    suite = ShelfEntry("petrel", "devel", objects.put(tree), is_own=True)
    recipe = EnvironmentRecipe((suite,), {suite.name: ("main",)}, "minbase", (), "amd64", 1).to_json()
    bundle = replace(BUNDLE, order={**BUNDLE.order, "root": recipe, "tools": recipe})
    with pytest.raises(
        BadInput, match=r"the bundle has no object aaaaaaaaaaaa|what the bundle has of suite 'petrel/devel' is none"
    ):
        check_objects(bundle, objects)
    with pytest.raises(BadInput, match="the bundle has no object"):
        check_objects(bundle, MemoryObjects())


def test_where_a_state_is_not_served_or_nobody_answers_it_is_said_as_that_and_not_as_a_difference() -> None:
    with pytest.raises(NotFound):
        check_answers(BUNDLE, "http://127.0.0.1", Answers(NotFound("gone", hint="see there")))
    with pytest.raises(Unreachable):
        check_answers(BUNDLE, "http://127.0.0.1", Answers(Unreachable("silent", hint="see there")))
    answers = Answers(None)
    check_answers(BUNDLE, "http://127.0.0.1", answers)
    assert answers.asked == ["http://127.0.0.1/debian/2024011001/dists/stable/InRelease"]


class Answers:
    """A server that gives one answer to all."""

    def __init__(self, error: Exception | None) -> None:
        self.error, self.asked = error, list[str]()

    def fetch(self, url: str, *, limit_bytes: int) -> Iterator[bytes]:
        """Nothing asks for it."""
        raise NotImplementedError(url, limit_bytes)

    def fetch_page(self, url: str, *, limit_bytes: int, known: Validators = NO_VALIDATORS) -> Page | None:
        """Answer."""
        self.asked.append(url)
        if self.error is not None:
            raise self.error
        return Page(b"x"[:limit_bytes], known)


def test_only_a_signature_of_a_given_certificate_counts() -> None:
    check_signature(BUNDLE, Keyring(KEY.certificate(), "the image key"))
    with pytest.raises(Refused, match="SHA256SUMS of petrel-1"):
        check_signature(BUNDLE, Keyring(signer("stranger").certificate(), "another"))
    with pytest.raises(Refused, match="SHA256SUMS of petrel-1"):
        check_signature(replace(BUNDLE, signed=b"other sums"), Keyring(KEY.certificate(), "the image key"))


@pytest.mark.parametrize(("same", "result"), [([ISO, "petrel-1.packages"], "PASSED"), ([ISO], "FAILED")])
def test_a_statement_is_one_of_in_toto_and_says_which_files_came_out_the_same(same: list[str], result: str) -> None:
    job = build_job(kind="image.rebuild", outputs={"verdict": "x", "same": same})
    made_by = {"here": {"apt": "3.0"}, "there": {"apt": "2.6.1"}}
    bundle = replace(BUNDLE, made_by=made_by["there"])
    said = statement_of(bundle, sha256_of(b"bundle"), job, KEY, made_by["here"])
    read = json.loads(said.content)
    message = ParseDict(read, StatementMessage())
    Statement.copy_from_pb(message).validate()
    assert {one.name: one.digest["sha256"] for one in message.subject} == BUNDLE.sums
    predicate = read["predicate"]
    assert read["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    assert (predicate["result"], predicate["passedTests"]) == (result, same)
    assert predicate["annotations"]["madeBy"] == made_by
    assert predicate["failedTests"] == sorted(set(BUNDLE.sums) - set(same))
    [against] = predicate["configuration"]
    assert against["digest"] == {"sha256": sha256_of(b"bundle")}
    assert against["uri"] == "https://petrel.example/images/petrel-1/petrel-1.bundle"
    assert ResourceDescriptor(**{key: against[key] for key in ("name", "uri", "digest")}).validate() is None
    assert said.signature is not None
    Keyring(KEY.certificate(), "the person").verify_detached(said.content, said.signature, "the statement")


def test_without_a_comparison_there_is_no_statement() -> None:
    for job in (build_job(outcome=Outcome.BROKEN, outputs=None), build_job(outputs={"verdict": "unknown"})):
        with pytest.raises(NotFound, match="has compared nothing"):
            statement_of(BUNDLE, sha256_of(b"bundle"), job, None, {})
    assert (
        statement_of(BUNDLE, sha256_of(b"b"), build_job(outputs={"same": []}, finished_at=NOW), None, {}).signature
        is None
    )


def test_a_person_signs_with_a_key_in_a_file_or_one_of_gpg(tmp_path: Path) -> None:
    path = tmp_path / "ada.pgp"
    path.write_bytes(key_file("ada"))
    path.chmod(0o600)
    assert person_signer(str(path), {}).fingerprints == signer("ada").fingerprints
    fingerprint = "0123456789ABCDEF0123456789ABCDEF01234567"
    assert person_signer(fingerprint, {"GNUPGHOME": str(tmp_path)}).fingerprints == (fingerprint.lower(),)
    with pytest.raises(NotFound):
        person_signer(str(tmp_path / "gone.pgp"), {})


def test_other_programs_are_told_by_name_and_nothing_is_told_of_what_nobody_said() -> None:
    there = {"apt": "2.6.1", "dpkg": "1.21.22", "mmdebstrap": "1.3.5-7"}
    assert other_programs(there, there) == other_programs({}, there) == ()
    assert other_programs(there, {"apt": "3.0.3", "dpkg": "1.21.22"}) == (
        "apt is 3.0.3 here, and was 2.6.1 where the image was made",
        "mmdebstrap is not installed here, and was 1.3.5-7 where the image was made",
    )
    order = verify_order(replace(BUNDLE, made_by=there), is_here=True)
    assert order.inputs["made_by"] == there, "what is said of the image is said again"
    assert "made_by" not in verify_order(BUNDLE, is_here=True).inputs
