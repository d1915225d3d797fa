"""First schema: events, jobs, holds, snapshots, suites, publications, uploads, refs, applied configs.

Frozen: store/schema.py may change, what this step once made may not. tests/contract/test_database.py proves that all steps
together make exactly the present schema.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _bytewise(text: sa.String) -> sa.String:
    """Give a type whose values compare byte by byte: PostgreSQL would sort by the language that its cluster was made for."""
    other = type(text)(text.length, collation="C")
    return text.with_variant(other, "postgresql")


_TIME = _bytewise(sa.String(32))
_DIGEST = _bytewise(sa.String(64))
_SERIAL = _bytewise(sa.String(10))
_NAME = _bytewise(sa.Text())


def upgrade() -> None:
    """Make all tables."""
    _events()
    _jobs()
    _archives()
    _configuration()


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("schema", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("job", sa.Integer),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "cursors",
        sa.Column("reader", _NAME, primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
    )
    op.create_table(
        "waiting_events",
        sa.Column("reader", _NAME, primary_key=True),
        sa.Column("number", sa.Integer, sa.ForeignKey("events.number"), primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("is_refused", sa.Boolean, nullable=False),
        sa.Column("retry_at", _TIME),
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("digest", _DIGEST, nullable=False, unique=True),
        sa.Column("inputs", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("pool", _NAME, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("outcome", sa.String(16)),
        sa.Column("message", sa.Text),
        sa.Column("outputs", sa.Text),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("not_before", _TIME, nullable=False),
        sa.Column("finished_at", _TIME),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("broken_count", sa.Integer, nullable=False),
        sa.Column("lost_count", sa.Integer, nullable=False),
        sa.Column("lease_holder", sa.Text),
        sa.Column("lease_until", _TIME),
        sa.Column("is_cancelled", sa.Boolean, nullable=False),
        sa.Column("config_commit", _NAME),
        sa.Column("cause", sa.Integer),
        sqlite_autoincrement=True,
    )
    op.create_index("jobs_by_turn", "jobs", ["state", "pool", "priority", "id"])
    op.create_table(
        "attempts",
        sa.Column("job", sa.Integer, sa.ForeignKey("jobs.id"), primary_key=True),
        sa.Column("fence", sa.Integer, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("finished_at", _TIME),
        sa.Column("outcome", sa.String(16)),
        sa.Column("message", sa.Text),
        sa.Column("outputs", sa.Text),
    )
    op.create_table(
        "step_results",
        sa.Column("key", _DIGEST, primary_key=True),
        sa.Column("step", sa.String(64), nullable=False),
        sa.Column("result", _DIGEST, nullable=False),
        sa.Column("at", _TIME, nullable=False),
    )
    op.create_table(
        "holds",
        sa.Column("holder", _NAME, primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("target", _NAME, primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", _TIME, nullable=False),
    )
    op.create_index("holds_by_target", "holds", ["kind", "target"])


def _archives() -> None:
    op.create_table(
        "snapshots",
        sa.Column("archive", _NAME, primary_key=True),
        sa.Column("serial", _SERIAL, primary_key=True),
        sa.Column("digest", _DIGEST, nullable=False),
        sa.Column("taken_at", _TIME, nullable=False),
        sa.Column("valid_until", _TIME),
        sa.Column("fetched_from", sa.Text, nullable=False),
    )
    op.create_table(
        "resigned_snapshots",
        sa.Column("archive", _NAME, primary_key=True),
        sa.Column("serial", _SERIAL, primary_key=True),
        sa.Column("document", _DIGEST, nullable=False),
        sa.Column("at", _TIME, nullable=False),
    )
    op.create_table(
        "tagged_snapshots",
        sa.Column("archive", _NAME, primary_key=True),
        sa.Column("tag", _NAME, primary_key=True),
        sa.Column("digest", _DIGEST, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", _TIME, nullable=False),
    )
    op.create_table(
        "suites",
        sa.Column("archive", _NAME, primary_key=True),
        sa.Column("name", _NAME, primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("revision", _DIGEST, nullable=False),
        sa.Column("changed_at", _TIME, nullable=False),
        sa.Column("follows", _NAME, nullable=False),
        sa.Column("parent", _NAME, nullable=False),
        sa.Column("is_sealed", sa.Boolean, nullable=False),
    )
    op.create_table(
        "revisions",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("archive", _NAME, nullable=False),
        sa.Column("suite", _NAME, nullable=False),
        sa.Column("before", _DIGEST, nullable=False),
        sa.Column("after", _DIGEST, nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("actor", _NAME, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("revisions_by_suite", "revisions", ["archive", "suite", "number"])
    op.create_table(
        "pool_names",
        sa.Column("archive", _NAME, primary_key=True),
        sa.Column("path", _NAME, primary_key=True),
        sa.Column("object", _DIGEST, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "publications",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("archive", _NAME, nullable=False),
        sa.Column("suite", _NAME, nullable=False),
        sa.Column("revision", _DIGEST, nullable=False),
        sa.Column("tree", _DIGEST, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("serial", _SERIAL, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("publications_by_suite", "publications", ["archive", "suite", "serial", "state"])
    op.create_index("publications_by_revision", "publications", ["archive", "revision"])
    op.create_table(
        "uploads",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("archive", _NAME, nullable=False),
        sa.Column("suite", _NAME, nullable=False),
        sa.Column("changes", _DIGEST, nullable=False),
        sa.Column("source", _NAME, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("signer", _NAME),
        sa.Column("is_accepted", sa.Boolean, nullable=False),
        sa.Column("problems", sa.Text, nullable=False),
        sa.Column("files", sa.Text, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("uploads_by_changes", "uploads", ["archive", "suite", "changes"])


def _configuration() -> None:
    op.create_table(
        "refs",
        sa.Column("repo", _NAME, primary_key=True),
        sa.Column("ref", _NAME, primary_key=True),
        sa.Column("object", _NAME, nullable=False),
        sa.Column("at", _TIME, nullable=False),
    )
    op.create_table(
        "applied_configs",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("commit", _NAME, nullable=False),
        sa.Column("config", _DIGEST, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sqlite_autoincrement=True,
    )
