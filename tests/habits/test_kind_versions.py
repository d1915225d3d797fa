"""A kind's version grows whenever its steps plan something else for the same inputs, or old results would pass for new ones."""

import json
import os
from pathlib import Path

import pytest
from tests.habits.samples import EARLIER, INPUTS

from distwright.jobs.step import JobKind, Step
from distwright.model.digests import Sha256, digest_of
from distwright.worker.kinds import KINDS

RECORDED = Path(__file__).with_name("kind_versions.json")


def plans_digest(kind: JobKind) -> Sha256:
    """Hash what the pure steps of a kind plan for the sample inputs; actions have no plan."""
    inputs = INPUTS[kind.kind.name]
    plans = [
        [step.name, step.plan(inputs, EARLIER).to_json(), step.repeat] for step in kind.steps if isinstance(step, Step)
    ]
    return digest_of({"kind": kind.kind.name, "steps": [step.name for step in kind.steps], "plans": plans})


def recorded() -> dict[str, str]:
    found: dict[str, str] = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    return found


def record(key: str, digest: Sha256) -> None:
    """Add what is new; what was recorded for a version that people have stays as it is."""
    known = recorded()
    known[key] = digest
    RECORDED.write_text(json.dumps(known, indent=4, sort_keys=True) + "\n")


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_a_kind_plans_what_its_version_planned_before(kind: JobKind) -> None:
    key, digest = f"{kind.kind.name}@{kind.kind.version}", plans_digest(kind)
    if os.environ.get("DISTWRIGHT_RECORD"):
        record(key, digest)
    assert recorded().get(key) == digest, (
        f"{kind.kind.name} plans something else than version {kind.kind.version} did: raise the version in its KindName, "
        f"then DISTWRIGHT_RECORD=1 .venv/bin/python -m pytest tests/habits/test_kind_versions.py (re-record the same version "
        f"only if it was never in a release)"
    )


def test_every_kind_has_a_sample_and_every_recorded_kind_is_known() -> None:
    assert set(INPUTS) == set(KINDS)
    assert {key.partition("@")[0] for key in recorded()} == set(KINDS)


def test_no_version_was_skipped_and_none_is_newer_than_the_code() -> None:
    for name, kind in KINDS.items():
        versions = sorted(int(key.partition("@")[2]) for key in recorded() if key.partition("@")[0] == name)
        assert versions == list(range(1, kind.kind.version + 1)), name


def test_the_digest_of_plans_sees_every_part_of_a_plan() -> None:
    boot = KINDS["image.boot"]
    assert plans_digest(boot) == plans_digest(boot)
    others = {plans_digest(kind) for kind in KINDS.values()}
    assert len(others) == len(KINDS)
    without = JobKind(boot.kind, boot.steps[:1], boot.conclude)
    assert plans_digest(without) != plans_digest(boot)
