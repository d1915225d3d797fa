"""Ninth schema: how the machines are that work for us."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add what a host says of itself."""
    op.add_column("hosts", sa.Column("free_bytes", sa.BigInteger))
    op.add_column("hosts", sa.Column("load", sa.Float))
