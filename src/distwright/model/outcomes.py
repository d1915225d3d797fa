"""How work ends, and how it stands on the way there."""

from enum import StrEnum


class Outcome(StrEnum):
    """The end of an attempt. Only BROKEN is retried by itself; FAILED is the package's own fault."""

    OK = "ok"
    FAILED = "failed"
    BROKEN = "broken"
    TIMED_OUT = "timed-out"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


class JobState(StrEnum):
    """Where a job stands; DONE says nothing about success, its outcome does."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
