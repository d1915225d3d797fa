"""Events: facts, appended once, never changed. Their schema is versioned; readers refuse versions they do not know."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from distwright.errors import BadInput
from distwright.model.digests import Json
from distwright.model.embargo import PUBLIC, Embargo

EVENT_SCHEMA = 1


class EventKind(StrEnum):
    """What can happen. A kind is never renamed; a new meaning is a new kind."""

    CONFIG_APPLIED = "config.applied"
    REPO_PUSHED = "repo.pushed"
    BRANCH_READY = "branch.ready"
    BRANCH_STATUS_CHANGED = "branch.status-changed"
    SNAPSHOT_RECORDED = "snapshot.recorded"
    SNAPSHOT_TAGGED = "snapshot.tagged"
    BUILD_FINISHED = "build.finished"
    BUILD_FAILED = "build.failed"
    BUILD_TRIED = "build.tried"
    BUILD_COMPARED = "build.compared"
    UPLOAD_ACCEPTED = "upload.accepted"
    UPLOAD_REJECTED = "upload.rejected"
    SUITE_CHANGED = "suite.changed"
    SUITE_PUBLISHED = "suite.published"
    SUITE_RETIRED = "suite.retired"
    SUITE_INSTALLED = "suite.installed"
    IMAGE_BUILT = "image.built"
    IMAGE_BOOTED = "image.booted"
    IMAGE_TESTED = "image.tested"
    IMAGE_DROPPED = "image.dropped"
    IMAGE_COMPARED = "image.compared"
    POOL_SCALED = "pool.scaled"
    JOB_ENDED = "job.ended"
    WARNING_RAISED = "warning.raised"


# Keys that the body of each kind must have; more may come in later schemas, none may go (docs/design/0001).
BODY_KEYS: Mapping[EventKind, frozenset[str]] = {
    EventKind.CONFIG_APPLIED: frozenset({"commit", "config"}),
    EventKind.REPO_PUSHED: frozenset({"repo", "ref", "old", "new", "pusher"}),
    EventKind.BRANCH_READY: frozenset({"repo", "branch", "ready", "actor"}),
    EventKind.BRANCH_STATUS_CHANGED: frozenset({"repo", "branch", "commit", "state", "before", "settled", "pusher"}),
    EventKind.SNAPSHOT_RECORDED: frozenset({"archive", "serial", "snapshot"}),
    EventKind.SNAPSHOT_TAGGED: frozenset({"archive", "tag", "snapshot"}),
    EventKind.BUILD_FINISHED: frozenset({"archive", "suite", "source", "version", "changes", "files"}),
    EventKind.BUILD_FAILED: frozenset({"archive", "suite", "source", "version", "outcome", "message"}),
    EventKind.BUILD_TRIED: frozenset({"source", "version", "outcome", "message"}),
    EventKind.BUILD_COMPARED: frozenset({"source", "version", "verdict", "message"}),
    EventKind.UPLOAD_ACCEPTED: frozenset({"archive", "suite", "source", "version", "changes", "revision"}),
    EventKind.UPLOAD_REJECTED: frozenset({"archive", "suite", "source", "version", "changes", "problems"}),
    EventKind.SUITE_CHANGED: frozenset({"archive", "suite", "before", "revision", "added"}),
    EventKind.SUITE_PUBLISHED: frozenset({"archive", "suite", "revision", "publication", "tree", "added"}),
    EventKind.SUITE_RETIRED: frozenset({"archive", "suite", "revision"}),
    EventKind.SUITE_INSTALLED: frozenset({"archive", "suite", "revision", "packages"}),
    EventKind.IMAGE_BUILT: frozenset({"image", "name", "files", "manifest", "commit", "states"}),
    EventKind.IMAGE_BOOTED: frozenset({"image", "name", "iso", "firmware"}),
    EventKind.IMAGE_TESTED: frozenset({"image", "name", "iso", "firmware", "report"}),
    EventKind.IMAGE_DROPPED: frozenset({"image", "name"}),
    EventKind.IMAGE_COMPARED: frozenset({"image", "name", "verdict", "message"}),
    EventKind.POOL_SCALED: frozenset({"pool", "action", "message", "waiting", "running"}),
    EventKind.JOB_ENDED: frozenset({"job", "kind", "title", "outcome", "message"}),
    EventKind.WARNING_RAISED: frozenset({"about", "what", "hint"}),
}


@dataclass(frozen=True, slots=True)
class Event:
    """subject: what the fact is about, for lists. body: plain JSON with at least the keys of its kind. job: who did it."""

    kind: EventKind
    at: datetime
    subject: str
    body: Mapping[str, Json]
    job: int | None = None

    def __post_init__(self) -> None:
        """Refuse a time without a zone."""
        if self.at.tzinfo is None:
            raise BadInput(f"event {self.kind} has a time without a zone", hint="pass an aware datetime in UTC")


def check_body(event: Event) -> None:
    """Refuse a new event that lacks a key of its kind; older ones may have been written when the kind had fewer keys."""
    missing = BODY_KEYS[event.kind] - event.body.keys()
    if missing:
        raise BadInput(f"event {event.kind} lacks {', '.join(sorted(missing))}", hint="see docs/design/0001")


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event with its place in the one order of all events. embargo: of what private things it tells."""

    number: int
    schema: int
    event: Event
    embargo: Embargo = PUBLIC


@dataclass(frozen=True, slots=True)
class OpenEvent:
    """An event that not everything has followed from yet, and why.

    is_refused: it is not tried again unless a person asks. retry_at: when it is tried again, if nothing happens before.
    """

    event: StoredEvent
    reason: str
    is_refused: bool
    retry_at: datetime | None
