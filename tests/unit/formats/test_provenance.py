"""Statements of provenance, read by the library of their format, which knows every field and takes no other."""

import json

from google.protobuf.json_format import ParseDict
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage

from distwright.formats.provenance import Making, Material, statement
from distwright.model.digests import sha256_of

COMMIT = Material("git+https://petrel.example/repo/live@main", "gitCommit", "0" * 40, "live")
HELLO = Material("pkg:deb/debian/hello@2.10-3?arch=amd64", "sha256", str(sha256_of(b"hello")), "hello 2.10-3")
MAKING = Making(
    "https://petrel.example/build-types/image", "https://petrel.example/builder", {"image": "petrel"}, {"epoch": 1}, [HELLO, COMMIT]
)  # fmt: skip
SUBJECTS = {"petrel.usb.img": sha256_of(b"usb"), "petrel.iso": sha256_of(b"iso")}


def read_provenance(text: bytes) -> tuple[StatementMessage, Provenance]:
    """Read a statement and what it says of how something was made; fields that are not of the format are an error."""
    message = ParseDict(json.loads(text), StatementMessage())
    Statement.copy_from_pb(message).validate()
    predicate = ParseDict(json.loads(text)["predicate"], Provenance())
    for material in predicate.build_definition.resolved_dependencies:
        ResourceDescriptor.copy_from_pb(material).validate()
    return message, predicate


def test_a_statement_is_one_of_in_toto_with_provenance_of_slsa() -> None:
    message, predicate = read_provenance(statement(SUBJECTS, MAKING))
    assert message.predicate_type == "https://slsa.dev/provenance/v1"
    assert {one.name: dict(one.digest) for one in message.subject} == {
        name: {"sha256": str(digest)} for name, digest in SUBJECTS.items()
    }
    definition = predicate.build_definition
    assert definition.build_type == "https://petrel.example/build-types/image"
    assert dict(definition.external_parameters) == {"image": "petrel"}
    assert predicate.run_details.builder.id == "https://petrel.example/builder"
    found = [(one.uri, dict(one.digest), one.name) for one in definition.resolved_dependencies]
    assert found == [(one.uri, {one.algorithm: one.digest}, one.name) for one in (COMMIT, HELLO)]


def test_when_it_was_made_is_not_said() -> None:
    _, predicate = read_provenance(statement(SUBJECTS, MAKING))
    assert not predicate.run_details.HasField("metadata")


def test_the_order_of_what_is_known_and_what_is_named_twice_change_nothing() -> None:
    other = Making(MAKING.kind, MAKING.builder, MAKING.external, MAKING.internal, [COMMIT, HELLO, COMMIT])
    turned = dict(reversed(SUBJECTS.items()))
    assert statement(turned, other) == statement(SUBJECTS, MAKING)
    assert statement({"petrel.iso": sha256_of(b"another")}, MAKING) != statement(SUBJECTS, MAKING)
