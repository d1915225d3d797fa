"""The tables, for SQLite and PostgreSQL alike. Changes go into a migration as well (store/migrations)."""

import sqlalchemy as sa

metadata = sa.MetaData()


def _bytewise(text: sa.String) -> sa.String:
    """Give a type whose values compare byte by byte: PostgreSQL would sort by the language that its cluster was made for."""
    other = type(text)(text.length, collation="C")
    return text.with_variant(other, "postgresql")


# Times are ISO 8601 in UTC with microseconds (store/times.py): sortable text, the same on both databases.
# Names from outside have no length limit: SQLite would not keep it.
TIME = _bytewise(sa.String(32))
DIGEST = _bytewise(sa.String(64))
SERIAL = _bytewise(sa.String(10))
NAME = _bytewise(sa.Text())

events = sa.Table(
    "events",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("schema", sa.Integer, nullable=False),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("at", TIME, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("job", sa.Integer),
    sa.Column("embargo", NAME, nullable=False, server_default=sa.text("''")),
    sa.Index("events_by_subject", "subject", "number"),
    sa.Index("events_by_embargo", "embargo"),
    sqlite_autoincrement=True,
)

cursors = sa.Table(
    "cursors",
    metadata,
    sa.Column("reader", NAME, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
)

waiting_events = sa.Table(
    "waiting_events",
    metadata,
    sa.Column("reader", NAME, primary_key=True),
    sa.Column("number", sa.Integer, sa.ForeignKey("events.number"), primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("is_refused", sa.Boolean, nullable=False),
    sa.Column("retry_at", TIME),
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("digest", DIGEST, nullable=False, unique=True),
    sa.Column("inputs", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("pool", NAME, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("outcome", sa.String(16)),
    sa.Column("message", sa.Text),
    sa.Column("outputs", sa.Text),
    sa.Column("created_at", TIME, nullable=False),
    sa.Column("not_before", TIME, nullable=False),
    sa.Column("finished_at", TIME),
    sa.Column("fence", sa.Integer, nullable=False, default=0),
    sa.Column("broken_count", sa.Integer, nullable=False, default=0),
    sa.Column("lost_count", sa.Integer, nullable=False, default=0),
    sa.Column("lease_holder", sa.Text),
    sa.Column("lease_until", TIME),
    sa.Column("is_cancelled", sa.Boolean, nullable=False, default=False),
    sa.Column("config_commit", NAME),
    sa.Column("cause", sa.Integer),
    sa.Column("share", NAME, nullable=False, server_default=sa.text("''")),
    # The priority, negative: an index that is walked in one direction gives the order of work (store/jobs.py).
    sa.Column("rank", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("turn", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("embargo", NAME, nullable=False, server_default=sa.text("''")),
    sa.Index("jobs_by_embargo", "embargo"),
    sa.Index("jobs_by_turn", "state", "pool", "rank", "turn", "id"),
    sa.Index("jobs_by_share", "state", "pool", "rank", "share", "turn"),
    sqlite_autoincrement=True,
)

branch_jobs = sa.Table(
    "branch_jobs",
    metadata,
    sa.Column("repo", NAME, primary_key=True),
    sa.Column("ref", NAME, primary_key=True),
    sa.Column("commit", NAME, primary_key=True),
    sa.Column("job", sa.Integer, sa.ForeignKey("jobs.id"), primary_key=True),
    sa.Index("branch_jobs_by_job", "job"),
)

ready_branches = sa.Table(
    "ready_branches",
    metadata,
    sa.Column("repo", NAME, primary_key=True),
    sa.Column("branch", NAME, primary_key=True),
    sa.Column("actor", NAME, nullable=False),
    sa.Column("at", TIME, nullable=False),
)

branch_states = sa.Table(
    "branch_states",
    metadata,
    sa.Column("repo", NAME, primary_key=True),
    sa.Column("branch", NAME, primary_key=True),
    sa.Column("commit", NAME, nullable=False),
    sa.Column("pusher", NAME, nullable=False),
    sa.Column("pushed_at", TIME, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("since", TIME, nullable=False),
    sa.Column("settled", sa.String(16)),
    sa.Column("job", sa.Integer),
    sa.Column("is_stale", sa.Boolean, nullable=False),
    sa.Index("branch_states_by_commit", "repo", "commit"),
    sa.Index("branch_states_by_staleness", "is_stale"),
)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("job", sa.Integer, sa.ForeignKey("jobs.id"), primary_key=True),
    sa.Column("fence", sa.Integer, primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("started_at", TIME, nullable=False),
    sa.Column("finished_at", TIME),
    sa.Column("outcome", sa.String(16)),
    sa.Column("message", sa.Text),
    sa.Column("outputs", sa.Text),
    sa.Column("log_bytes", sa.BigInteger),
)

step_results = sa.Table(
    "step_results",
    metadata,
    sa.Column("key", DIGEST, primary_key=True),
    sa.Column("step", sa.String(64), nullable=False),
    sa.Column("result", DIGEST, nullable=False),
    sa.Column("at", TIME, nullable=False),
)

holds = sa.Table(
    "holds",
    metadata,
    sa.Column("holder", NAME, primary_key=True),
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("target", NAME, primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", TIME, nullable=False),
    sa.Column("until", TIME),
    sa.Index("holds_by_target", "kind", "target"),
)

snapshots = sa.Table(
    "snapshots",
    metadata,
    sa.Column("archive", NAME, primary_key=True),
    sa.Column("serial", SERIAL, primary_key=True),
    sa.Column("digest", DIGEST, nullable=False),
    sa.Column("taken_at", TIME, nullable=False),
    sa.Column("valid_until", TIME),
    sa.Column("fetched_from", sa.Text, nullable=False),
)

resigned_snapshots = sa.Table(
    "resigned_snapshots",
    metadata,
    sa.Column("archive", NAME, primary_key=True),
    sa.Column("serial", SERIAL, primary_key=True),
    sa.Column("document", DIGEST, nullable=False),
    sa.Column("at", TIME, nullable=False),
)

tagged_snapshots = sa.Table(
    "tagged_snapshots",
    metadata,
    sa.Column("archive", NAME, primary_key=True),
    sa.Column("tag", NAME, primary_key=True),
    sa.Column("digest", DIGEST, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", TIME, nullable=False),
)

suites = sa.Table(
    "suites",
    metadata,
    sa.Column("archive", NAME, primary_key=True),
    sa.Column("name", NAME, primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("revision", DIGEST, nullable=False),
    sa.Column("changed_at", TIME, nullable=False),
    sa.Column("follows", NAME, nullable=False),
    sa.Column("parent", NAME, nullable=False),
    sa.Column("is_sealed", sa.Boolean, nullable=False),
)

revisions = sa.Table(
    "revisions",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("archive", NAME, nullable=False),
    sa.Column("suite", NAME, nullable=False),
    sa.Column("before", DIGEST, nullable=False),
    sa.Column("after", DIGEST, nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("actor", NAME, nullable=False),
    sa.Column("at", TIME, nullable=False),
    sa.Index("revisions_by_suite", "archive", "suite", "number"),
    sqlite_autoincrement=True,
)

exceptions = sa.Table(
    "exceptions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("archive", NAME, nullable=False),
    sa.Column("suite", NAME, nullable=False),
    sa.Column("source", NAME, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("base", NAME, nullable=False),
    sa.Column("branch", NAME, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("actor", NAME, nullable=False),
    sa.Column("at", TIME, nullable=False),
    sa.Column("ended_at", TIME),
    sa.Column("ended_why", sa.Text),
    sa.Index("exceptions_by_suite", "archive", "suite"),
    sqlite_autoincrement=True,
)

pool_names = sa.Table(
    "pool_names",
    metadata,
    sa.Column("archive", NAME, primary_key=True),
    sa.Column("path", NAME, primary_key=True),
    sa.Column("object", DIGEST, nullable=False),
    sqlite_with_rowid=False,
)

publications = sa.Table(
    "publications",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("archive", NAME, nullable=False),
    sa.Column("suite", NAME, nullable=False),
    sa.Column("revision", DIGEST, nullable=False),
    sa.Column("tree", DIGEST, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("at", TIME, nullable=False),
    sa.Column("serial", SERIAL, nullable=False),
    sa.Column("retired_at", TIME),
    sa.Index("publications_by_suite", "archive", "suite", "serial", "state"),
    sa.Index("publications_by_revision", "archive", "revision"),
    sqlite_autoincrement=True,
)

uploads = sa.Table(
    "uploads",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("archive", NAME, nullable=False),
    sa.Column("suite", NAME, nullable=False),
    sa.Column("changes", DIGEST, nullable=False),
    sa.Column("source", NAME, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("signer", NAME),
    sa.Column("is_accepted", sa.Boolean, nullable=False),
    sa.Column("problems", sa.Text, nullable=False),
    sa.Column("files", sa.Text, nullable=False),
    sa.Column("at", TIME, nullable=False),
    sa.Column("signed", DIGEST),
    sa.Column("job", sa.Integer),
    sa.Index("uploads_by_changes", "archive", "suite", "changes"),
    sa.Index("uploads_by_signed", "signed"),
    sa.Index("uploads_by_job", "job"),
    sqlite_autoincrement=True,
)

refs = sa.Table(
    "refs",
    metadata,
    sa.Column("repo", NAME, primary_key=True),
    sa.Column("ref", NAME, primary_key=True),
    sa.Column("object", NAME, nullable=False),
    sa.Column("at", TIME, nullable=False),
)

branches = sa.Table(
    "branches",
    metadata,
    sa.Column("repo", NAME, primary_key=True),
    sa.Column("ref", NAME, primary_key=True),
    sa.Column("archive", NAME, primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("suite", NAME, nullable=False),
    sa.Column("problem", sa.Text, nullable=False),
    sa.Column("at", TIME, nullable=False),
    sa.Column("gone_at", TIME),
    sa.Index("branches_by_suite", "archive", "suite"),
)

trials = sa.Table(
    "trials",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("question", NAME, nullable=False),
    sa.Column("subject", NAME, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("commit", NAME, nullable=False),
    sa.Column("states", sa.Text, nullable=False),
    sa.Column("order_digest", DIGEST, nullable=False, unique=True),
    sa.Column("job", sa.Integer, nullable=False),
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("took_s", sa.Integer, nullable=False),
    sa.Column("at", TIME, nullable=False),
    sa.Index("trials_by_subject", "question", "subject", "id"),
    sqlite_autoincrement=True,
)

findings = sa.Table(
    "findings",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("kind", NAME, nullable=False),
    sa.Column("subject", NAME, nullable=False),
    sa.Column("key", NAME, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("owner", NAME, nullable=False),
    sa.Column("first_seen", TIME, nullable=False),
    sa.Column("last_seen", TIME, nullable=False),
    sa.Column("fixed_at", TIME),
    sa.Column("expires", TIME),
    sa.Column("evidence", sa.Text, nullable=False),
    sa.UniqueConstraint("kind", "subject", "key", name="findings_once"),
    sa.Index("findings_by_state", "state", "kind"),
    sqlite_autoincrement=True,
)

inquiries = sa.Table(
    "inquiries",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("kind", NAME, nullable=False),
    sa.Column("subject", NAME, nullable=False),
    sa.Column("asked", sa.Text, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("progress", sa.Text, nullable=False),
    sa.Column("answer", sa.Text),
    sa.Column("actor", NAME, nullable=False),
    sa.Column("began_at", TIME, nullable=False),
    sa.Column("ended_at", TIME),
    sa.Column("seen_event", sa.Integer, nullable=False),
    sa.Index("inquiries_by_state", "state", "id"),
    sqlite_autoincrement=True,
)

applied_configs = sa.Table(
    "applied_configs",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("commit", NAME, nullable=False),
    sa.Column("config", DIGEST, nullable=False),
    sa.Column("at", TIME, nullable=False),
    sqlite_autoincrement=True,
)

timetable = sa.Table(
    "timetable",
    metadata,
    sa.Column("name", NAME, primary_key=True),
    sa.Column("due", TIME, nullable=False),
)

hosts = sa.Table(
    "hosts",
    metadata,
    sa.Column("name", NAME, primary_key=True),
    sa.Column("enrol_hash", DIGEST),
    sa.Column("enrol_until", TIME),
    sa.Column("token_hash", DIGEST),
    sa.Column("enrolled_at", TIME),
    sa.Column("version", NAME, nullable=False),
    sa.Column("last_seen", TIME),
    sa.Column("is_draining", sa.Boolean, nullable=False),
    sa.Column("free_bytes", sa.BigInteger),
    sa.Column("load", sa.Float),
)

private_names = sa.Table(
    "private_names",
    metadata,
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("name", NAME, primary_key=True),
    sa.Column("at", TIME, nullable=False),
)

private_objects = sa.Table(
    "private_objects",
    metadata,
    sa.Column("digest", DIGEST, primary_key=True),
    sa.Column("embargo", NAME, nullable=False),
)

readers = sa.Table(
    "readers",
    metadata,
    sa.Column("person", NAME, primary_key=True),
    sa.Column("token_hash", DIGEST, nullable=False),
    sa.Column("given_at", TIME, nullable=False),
)
