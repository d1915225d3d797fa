"""Fourth schema: what checks ask and find: trials of states, findings, and inquiries that take many jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def _bytewise(text: sa.String) -> sa.String:
    """Give a type whose values compare byte by byte, as in the first schema."""
    return text.with_variant(type(text)(text.length, collation="C"), "postgresql")


_TIME = _bytewise(sa.String(32))
_DIGEST = _bytewise(sa.String(64))
_NAME = _bytewise(sa.Text())


def upgrade() -> None:
    """Add the three tables."""
    op.create_table(
        "trials",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("question", _NAME, nullable=False),
        sa.Column("subject", _NAME, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("commit", _NAME, nullable=False),
        sa.Column("states", sa.Text, nullable=False),
        sa.Column("order_digest", _DIGEST, nullable=False, unique=True),
        sa.Column("job", sa.Integer, nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("took_s", sa.Integer, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Index("trials_by_subject", "question", "subject", "id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "findings",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("kind", _NAME, nullable=False),
        sa.Column("subject", _NAME, nullable=False),
        sa.Column("key", _NAME, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("owner", _NAME, nullable=False),
        sa.Column("first_seen", _TIME, nullable=False),
        sa.Column("last_seen", _TIME, nullable=False),
        sa.Column("fixed_at", _TIME),
        sa.Column("expires", _TIME),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.UniqueConstraint("kind", "subject", "key", name="findings_once"),
        sa.Index("findings_by_state", "state", "kind"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "inquiries",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("kind", _NAME, nullable=False),
        sa.Column("subject", _NAME, nullable=False),
        sa.Column("asked", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("progress", sa.Text, nullable=False),
        sa.Column("answer", sa.Text),
        sa.Column("actor", _NAME, nullable=False),
        sa.Column("began_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME),
        sa.Column("seen_event", sa.Integer, nullable=False),
        sa.Index("inquiries_by_state", "state", "id"),
        sqlite_autoincrement=True,
    )
