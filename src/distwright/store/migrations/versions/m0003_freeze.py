"""Third schema: holds may end at a time; packages that were let into a frozen suite, with who, why and until when."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def _bytewise(text: sa.String) -> sa.String:
    """Give a type whose values compare byte by byte, as in the first schema."""
    return text.with_variant(type(text)(text.length, collation="C"), "postgresql")


_TIME = _bytewise(sa.String(32))
_NAME = _bytewise(sa.Text())


def upgrade() -> None:
    """Add what freezing asks for."""
    op.add_column("holds", sa.Column("until", _TIME))
    op.create_table(
        "exceptions",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("archive", _NAME, nullable=False),
        sa.Column("suite", _NAME, nullable=False),
        sa.Column("source", _NAME, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("base", _NAME, nullable=False),
        sa.Column("branch", _NAME, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("actor", _NAME, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME),
        sa.Column("ended_why", sa.Text),
        sa.Index("exceptions_by_suite", "archive", "suite"),
        sqlite_autoincrement=True,
    )
