"""Second schema: uploads know the text that was signed and their job; snapshots signed anew, and tagged ones; events by subject."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def _bytewise(text: sa.String) -> sa.String:
    """Give a type whose values compare byte by byte, as in the first schema."""
    return text.with_variant(type(text)(text.length, collation="C"), "postgresql")


_TIME = _bytewise(sa.String(32))
_DIGEST = _bytewise(sa.String(64))
_SERIAL = _bytewise(sa.String(10))
_NAME = _bytewise(sa.Text())


def upgrade() -> None:
    """Add what the upload queue and the snapshots of upstream archives ask for."""
    op.create_index("events_by_subject", "events", ["subject", "number"])
    op.add_column("uploads", sa.Column("signed", _DIGEST))
    op.add_column("uploads", sa.Column("job", sa.Integer))
    op.create_index("uploads_by_signed", "uploads", ["signed"])
    op.create_index("uploads_by_job", "uploads", ["job"])
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
