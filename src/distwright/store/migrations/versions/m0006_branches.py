"""Sixth schema: which suite belongs to a branch or tag."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def _bytewise(text: sa.String) -> sa.String:
    """Give a type whose values compare byte by byte, as in the first schema."""
    return text.with_variant(type(text)(text.length, collation="C"), "postgresql")


_TIME = _bytewise(sa.String(32))
_NAME = _bytewise(sa.Text())


def upgrade() -> None:
    """Add the table; the first look at each repo fills it."""
    op.create_table(
        "branches",
        sa.Column("repo", _NAME, primary_key=True),
        sa.Column("ref", _NAME, primary_key=True),
        sa.Column("archive", _NAME, primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("suite", _NAME, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("gone_at", _TIME),
        sa.Index("branches_by_suite", "archive", "suite"),
    )
