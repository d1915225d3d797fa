"""Records: what the database keeps of jobs, archives and uploads, as values that every stage and face may hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from distwright.model.digests import Json, Sha256
from distwright.model.embargo import PUBLIC, Embargo
from distwright.model.outcomes import JobState, Outcome
from distwright.model.serials import Serial


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the table has it: an order of a kind in one version of its steps.

    fence: numbers its attempts. broken_count, lost_count: attempts that broke, and that were interrupted or lost their worker.
    outputs: what its conclusion named, once it is done. share: whose it is, for turns: a person, a branch, "" the house.
    embargo: of what private things it is made.
    """

    id: int
    kind: str
    version: int
    digest: Sha256
    inputs: Mapping[str, Json]
    title: str
    pool: str
    priority: int
    state: JobState
    outcome: Outcome | None
    message: str | None
    outputs: Mapping[str, Json] | None
    created_at: datetime
    finished_at: datetime | None
    not_before: datetime
    fence: int
    broken_count: int
    lost_count: int
    lease_holder: str | None
    lease_until: datetime | None
    is_cancelled: bool
    config_commit: str | None
    cause: int | None
    share: str = ""
    embargo: Embargo = PUBLIC


@dataclass(frozen=True, slots=True)
class Attempt:
    """One execution of a job. outputs: what its steps left as evidence, by `step/name`; `findings`: a list of them.

    log_bytes: how long its log was when it ended, by a worker elsewhere, which may not have sent all of it; None: all is here.
    """

    job: int
    fence: int
    holder: str
    started_at: datetime
    finished_at: datetime | None
    outcome: Outcome | None
    message: str | None
    outputs: Mapping[str, Sha256] = field(default_factory=dict)
    log_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class HostHealth:
    """free_bytes: of the disk of its state. load: processes that run or wait for the disk, a mean of one minute (getloadavg(3))."""

    free_bytes: int
    load: float


@dataclass(frozen=True, slots=True)
class HostState:
    """What is known of another machine that works for us. version: of its distwright, when it was last heard of ("": never).

    enrol_hash, token_hash: SHA-256 of its one-time and of its lasting token; None: it has none. is_draining: it takes no new jobs.
    health: as it said itself then.
    """

    name: str
    enrol_hash: Sha256 | None
    enrol_until: datetime | None
    token_hash: Sha256 | None
    enrolled_at: datetime | None
    version: str
    last_seen: datetime | None
    is_draining: bool
    health: HostHealth | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A full snapshot of an archive. `digest` names its document (archive/snapshots.py), the serial is only its name here."""

    archive: str
    serial: Serial
    digest: Sha256
    taken_at: datetime
    valid_until: datetime | None
    fetched_from: str


@dataclass(frozen=True, slots=True)
class ResignedSnapshot:
    """What of a recorded snapshot is served with our signature instead of upstream's; `document`: archive/resigned.py."""

    archive: str
    serial: Serial
    document: Sha256
    at: datetime


@dataclass(frozen=True, slots=True)
class TaggedSnapshot:
    """The part of an archive that something was made of, for ever. `digest` names its document (archive/tags.py)."""

    archive: str
    tag: str
    digest: Sha256
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SuiteState:
    """A suite of an own archive and its present revision (root hash of its package tree).

    follows: the configured suite whose settings it shares, "" for itself. parent: the suite that it branched from, or "".
    is_sealed: it takes no changes any more.
    """

    archive: str
    name: str
    kind: str
    revision: Sha256
    changed_at: datetime
    follows: str = ""
    parent: str = ""
    is_sealed: bool = False

    @property
    def settings(self) -> str:
        """The configured suite whose settings count."""
        return self.follows or self.name


@dataclass(frozen=True, slots=True)
class BranchSuite:
    """Which suite of an archive belongs to a branch or tag of a hosted repo.

    ref: its full name. kind: of the suite that it is to have: base, overlay, release. suite: "" if it has none; problem: why, with
    what to type. at: since when. gone_at: when its ref went; the row stays while the suite has packages of it.
    """

    repo: str
    ref: str
    archive: str
    kind: str
    suite: str
    problem: str
    at: datetime
    gone_at: datetime | None = None

    @property
    def branch(self) -> str:
        """The name without refs/heads/ or refs/tags/."""
        return self.ref.removeprefix("refs/heads/").removeprefix("refs/tags/")


@dataclass(frozen=True, slots=True)
class Revision:
    """One step in the life of a suite. actor: who.

    action: upload, add, remove, merge, pull, reset, undo, import, branch, phase, exception, tidy, retire, take back, take.
    """

    number: int
    archive: str
    suite: str
    before: Sha256
    after: Sha256
    action: str
    reason: str
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class FreezeException:
    """A source in one version, with all that was built from it, that was let into a frozen suite.

    origin: where it came from (`petrel/devel`, `debian/trixie@2026112301`). base: the suite that is read below this one,
    `ARCHIVE/SUITE`, or "". branch: whose pins say which serial of an upstream base counts, `REPO/BRANCH`, or "". ended_why: None
    while it lasts.
    """

    id: int
    archive: str
    suite: str
    source: str
    version: str
    origin: str
    base: str
    branch: str
    reason: str
    actor: str
    at: datetime
    ended_at: datetime | None = None
    ended_why: str | None = None

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"{self.source} {self.version}"


@dataclass(frozen=True, slots=True)
class Publication:
    """One publishing of a revision. state: building, live, retired. tree: the document of all its index files.

    at: when it was made. serial: of the snapshot of ours that it belongs to; "" is the suite itself, as it moves on.
    retired_at: when it was replaced, or its snapshot dropped.
    """

    id: int
    archive: str
    suite: str
    revision: Sha256
    tree: Sha256
    state: str
    at: datetime
    serial: str = ""
    retired_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class UploadVerdict:
    """An upload and its verdict. files: file name -> object. signed: SHA-256 of the signed text. job: which judged it."""

    archive: str
    suite: str
    changes: Sha256
    source: str
    version: str
    signer: str | None
    is_accepted: bool
    problems: Sequence[str]
    files: Mapping[str, Sha256]
    at: datetime
    signed: Sha256 | None = None
    job: int | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """The answer to a question about one state. states: `archive/suite` -> document, in the environment that was asked about.

    question: "builds" of a source package; tests and images ask others. order: the digest of the order that answered it.
    message: the first real error, "" if all was well. took_s: seconds of the attempt that answered.
    """

    id: int
    question: str
    subject: str
    version: str
    commit: str
    states: Mapping[str, Sha256]
    order: Sha256
    job: int
    outcome: Outcome
    message: str
    took_s: int
    at: datetime


class FindingState(StrEnum):
    """NEW since nobody has looked at it, OPEN since somebody has, ACCEPTED by a rule in git, FIXED when it is no longer so."""

    NEW = "new"
    OPEN = "open"
    ACCEPTED = "accepted"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True)
class KnownFinding:
    """What is known of a finding. owner: who is asked to mend it, "" if nobody. evidence: plain JSON of its kind."""

    id: int
    kind: str
    subject: str
    key: str
    state: FindingState
    owner: str
    first_seen: datetime
    last_seen: datetime
    fixed_at: datetime | None
    expires: datetime | None
    evidence: Mapping[str, Json]


class InquiryState(StrEnum):
    """OPEN until it has its answer (DONE), or cannot have one or nobody wants it any more (STOPPED; the answer says why)."""

    OPEN = "open"
    DONE = "done"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A question that takes many jobs: a sweep, a bisection, an impact.

    asked: what was asked, fixed for good. progress: what its kind keeps between looks. seen_event: up to which event it has looked.
    """

    id: int
    kind: str
    subject: str
    asked: Mapping[str, Json]
    state: InquiryState
    progress: Mapping[str, Json]
    answer: Mapping[str, Json] | None
    actor: str
    began_at: datetime
    ended_at: datetime | None
    seen_event: int
