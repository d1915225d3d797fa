"""What an examination finds: one answer, and what to type."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HealthFinding:
    """state: well, or wrong, or note (works, but a person should know)."""

    check: str
    state: str
    what: str
    hint: str
