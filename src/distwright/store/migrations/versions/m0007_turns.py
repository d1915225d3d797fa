"""Seventh schema: whose turn a job is, whose branch it belongs to, which branches are ready for review, and how each stands."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def _bytewise(text: sa.String) -> sa.String:
    """Give a type whose values compare byte by byte, as in the first schema."""
    return text.with_variant(type(text)(text.length, collation="C"), "postgresql")


_TIME = _bytewise(sa.String(32))
_NAME = _bytewise(sa.Text())


def upgrade() -> None:
    """Add three columns to jobs, with indexes that a claim walks in its own order, and three tables."""
    op.add_column("jobs", sa.Column("share", _NAME, nullable=False, server_default=sa.text("''")))
    op.add_column("jobs", sa.Column("rank", sa.Integer, nullable=False, server_default=sa.text("0")))
    op.add_column("jobs", sa.Column("turn", sa.Integer, nullable=False, server_default=sa.text("0")))
    op.execute("UPDATE jobs SET rank = -priority")
    op.drop_index("jobs_by_turn", "jobs")
    op.create_index("jobs_by_turn", "jobs", ["state", "pool", "rank", "turn", "id"])
    op.create_index("jobs_by_share", "jobs", ["state", "pool", "rank", "share", "turn"])
    op.create_table(
        "branch_jobs",
        sa.Column("repo", _NAME, primary_key=True),
        sa.Column("ref", _NAME, primary_key=True),
        sa.Column("commit", _NAME, primary_key=True),
        sa.Column("job", sa.Integer, sa.ForeignKey("jobs.id"), primary_key=True),
        sa.Index("branch_jobs_by_job", "job"),
    )
    op.create_table(
        "ready_branches",
        sa.Column("repo", _NAME, primary_key=True),
        sa.Column("branch", _NAME, primary_key=True),
        sa.Column("actor", _NAME, nullable=False),
        sa.Column("at", _TIME, nullable=False),
    )
    op.create_table(
        "branch_states",
        sa.Column("repo", _NAME, primary_key=True),
        sa.Column("branch", _NAME, primary_key=True),
        sa.Column("commit", _NAME, nullable=False),
        sa.Column("pusher", _NAME, nullable=False),
        sa.Column("pushed_at", _TIME, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("since", _TIME, nullable=False),
        sa.Column("settled", sa.String(16)),
        sa.Column("job", sa.Integer),
        sa.Column("is_stale", sa.Boolean, nullable=False),
        sa.Index("branch_states_by_commit", "repo", "commit"),
        sa.Index("branch_states_by_staleness", "is_stale"),
    )
