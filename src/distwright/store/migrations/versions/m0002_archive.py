"""Second schema: uploads know the text that was signed and their job; events are found by their subject."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_DIGEST = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")  # names compare byte by byte


def upgrade() -> None:
    """Add what the upload queue asks for."""
    op.create_index("events_by_subject", "events", ["subject", "number"])
    op.add_column("uploads", sa.Column("signed", _DIGEST))
    op.add_column("uploads", sa.Column("job", sa.Integer))
    op.create_index("uploads_by_signed", "uploads", ["signed"])
    op.create_index("uploads_by_job", "uploads", ["job"])
