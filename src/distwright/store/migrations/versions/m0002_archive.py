"""Second schema: revisions of suites, names of the pool, suites that follow others, published snapshots of ours."""

from typing import Literal

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_TIME = sa.String(32)
_DIGEST = sa.String(64)
_NAME = sa.String(128)


def upgrade() -> None:
    """Add what archives need to keep a history, and to publish snapshots of their own."""
    # SQLite: made anew, so that an upgraded database is the same as a new one, to the letter.
    recreate: Literal["auto", "always"] = "always" if op.get_bind().dialect.name == "sqlite" else "auto"
    with op.batch_alter_table("suites", recreate=recreate) as table:
        table.add_column(sa.Column("follows", _NAME, nullable=False, server_default=sa.text("''")))
        table.add_column(sa.Column("parent", _NAME, nullable=False, server_default=sa.text("''")))
        table.add_column(sa.Column("is_sealed", sa.Boolean, nullable=False, server_default=sa.false()))
    with op.batch_alter_table("publications", recreate=recreate, table_kwargs={"sqlite_autoincrement": True}) as table:
        table.add_column(sa.Column("serial", sa.String(10), nullable=False, server_default=sa.text("''")))
        table.drop_index("publications_by_suite")
        table.create_index("publications_by_suite", ["archive", "suite", "serial", "state"])
        table.create_index("publications_by_revision", ["archive", "revision"])
    op.create_table(
        "revisions",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("archive", _NAME, nullable=False),
        sa.Column("suite", _NAME, nullable=False),
        sa.Column("before", _DIGEST, nullable=False),
        sa.Column("after", _DIGEST, nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("actor", _NAME, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("revisions_by_suite", "revisions", ["archive", "suite", "number"])
    op.create_table(
        "pool_names",
        sa.Column("archive", _NAME, primary_key=True),
        sa.Column("path", sa.String(512), primary_key=True),
        sa.Column("object", _DIGEST, nullable=False),
        sqlite_with_rowid=False,
    )
