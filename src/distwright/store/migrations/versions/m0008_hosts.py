"""Eighth schema: workers on other machines: who they are, and how long the log of an attempt was there."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def _bytewise(text: sa.String) -> sa.String:
    """Give a type whose values compare byte by byte, as in the first schema."""
    return text.with_variant(type(text)(text.length, collation="C"), "postgresql")


_TIME = _bytewise(sa.String(32))
_DIGEST = _bytewise(sa.String(64))
_NAME = _bytewise(sa.Text())


def upgrade() -> None:
    """Add the table of hosts, and the length of logs."""
    op.create_table(
        "hosts",
        sa.Column("name", _NAME, primary_key=True),
        sa.Column("enrol_hash", _DIGEST),
        sa.Column("enrol_until", _TIME),
        sa.Column("token_hash", _DIGEST),
        sa.Column("enrolled_at", _TIME),
        sa.Column("version", _NAME, nullable=False),
        sa.Column("last_seen", _TIME),
        sa.Column("is_draining", sa.Boolean, nullable=False),
    )
    op.add_column("attempts", sa.Column("log_bytes", sa.BigInteger))
