"""Fifth schema: until when each entry of the timetable was served."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def _bytewise(text: sa.String) -> sa.String:
    """Give a type whose values compare byte by byte, as in the first schema."""
    return text.with_variant(type(text)(text.length, collation="C"), "postgresql")


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "timetable",
        sa.Column("name", _bytewise(sa.Text()), primary_key=True),
        sa.Column("due", _bytewise(sa.String(32)), nullable=False),
    )
