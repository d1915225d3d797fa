"""Third schema: what freezing asks for, and when a publication was replaced.

Holds may end at a time; packages that were let into a frozen suite have who, why and until when.
"""

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
    """Add what freezing asks for, and when publications were retired: when the next one of their suite was made."""
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
    op.add_column("publications", sa.Column("retired_at", _TIME))
    op.execute("""
        UPDATE publications SET retired_at = (
            SELECT MIN(later.at) FROM publications AS later
            WHERE later.archive = publications.archive AND later.suite = publications.suite
            AND later.serial = publications.serial AND later.id > publications.id AND later.state <> 'discarded'
        )
        WHERE state = 'retired'
    """)
