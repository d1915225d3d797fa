"""Tenth schema: what is private, what comes of it, and who may look at it by web."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def _bytewise(text: sa.String) -> sa.String:
    """Give a type whose values compare byte by byte, as in the first schema."""
    return text.with_variant(type(text)(text.length, collation="C"), "postgresql")


_TIME = _bytewise(sa.String(32))
_DIGEST = _bytewise(sa.String(64))
_NAME = _bytewise(sa.Text())


def upgrade() -> None:
    """Add private names and objects, readers, and the embargo of jobs and events; until now nothing was made of a private repo."""
    op.create_table(
        "private_names",
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("name", _NAME, primary_key=True),
        sa.Column("at", _TIME, nullable=False),
    )
    op.create_table(
        "private_objects",
        sa.Column("digest", _DIGEST, primary_key=True),
        sa.Column("embargo", _NAME, nullable=False),
    )
    op.create_table(
        "readers",
        sa.Column("person", _NAME, primary_key=True),
        sa.Column("token_hash", _DIGEST, nullable=False),
        sa.Column("given_at", _TIME, nullable=False),
    )
    for table in ("jobs", "events"):
        op.add_column(table, sa.Column("embargo", _NAME, nullable=False, server_default=sa.text("''")))
        op.create_index(f"{table}_by_embargo", table, ["embargo"])
