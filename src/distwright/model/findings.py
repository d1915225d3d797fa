"""A finding: one answer of a check or a judge, with its evidence."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """kind: the question ("upload-hash"). key: what makes it the same finding next time. subject: what it is about."""

    kind: str
    key: str
    subject: str
    evidence: str
