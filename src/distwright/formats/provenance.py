"""How something was made: an in-toto statement with SLSA provenance. The same facts, the same bytes everywhere.

Source: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md, https://slsa.dev/spec/v1.0/provenance.

Nothing in it tells when, where or by which run it was made (`invocationId`, `startedOn`, `finishedOn`): what is made again here is
said in the same words. It is signed as a file, by the signed sums that name it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from distwright.model.digests import Json, Sha256, canonical_json

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"


@dataclass(frozen=True, slots=True, order=True)
class Material:
    """Something that was used. uri: where it is, or how it is named. algorithm: `sha256`, or `gitCommit`. name: for people."""

    uri: str
    algorithm: str
    digest: str
    name: str

    def to_json(self) -> Json:
        """Give it as a resource descriptor."""
        return {"name": self.name, "uri": self.uri, "digest": {self.algorithm: self.digest}}


@dataclass(frozen=True, slots=True)
class Making:
    """How it was made. kind: URI of what `external` and `internal` mean. builder: URI of who is trusted to have made it.

    external: what a person could choose; internal: what followed from it. materials: all that was used, in any order.
    """

    kind: str
    builder: str
    external: Mapping[str, Json]
    internal: Mapping[str, Json]
    materials: Sequence[Material]


def rebuild_result(
    subjects: Mapping[str, Sha256], same: Collection[str], against: Material, at: str, made_by: Mapping[str, Mapping[str, str]]
) -> bytes:  # fmt: skip
    """Say of files, by name, whether somebody else's build gave the same, as canonical JSON. It has passed if all are in `same`.

    against: what it was built from. at: when, in ISO form. made_by: `here` and `there` -> program -> version, empty if unsaid.
    Source: https://github.com/in-toto/attestation, predicate test-result.
    """
    failed: list[Json] = [name for name in sorted(subjects) if name not in same]
    return canonical_json(
        {
            "_type": STATEMENT,
            "subject": _subjects(subjects),
            "predicateType": TEST_RESULT,
            "predicate": {
                "result": "FAILED" if failed else "PASSED",
                "configuration": [against.to_json()],
                "passedTests": [name for name in sorted(subjects) if name in same],
                "failedTests": failed,
                "warnedTests": [],
                "annotations": {"finishedOn": at, "madeBy": {where: dict(made_by[where]) for where in sorted(made_by)}},
            },
        }
    )


def _subjects(subjects: Mapping[str, Sha256]) -> list[Json]:
    return [{"name": name, "digest": {"sha256": str(subjects[name])}} for name in sorted(subjects)]


def statement(subjects: Mapping[str, Sha256], making: Making) -> bytes:
    """Say of files, by name, how they were made, as canonical JSON. A material that was named twice is in it once."""
    materials: list[Json] = [material.to_json() for material in sorted(set(making.materials))]
    return canonical_json(
        {
            "_type": STATEMENT,
            "subject": _subjects(subjects),
            "predicateType": PREDICATE,
            "predicate": {
                "buildDefinition": {
                    "buildType": making.kind,
                    "externalParameters": making.external,
                    "internalParameters": making.internal,
                    "resolvedDependencies": materials,
                },
                "runDetails": {"builder": {"id": making.builder}},
            },
        }
    )
