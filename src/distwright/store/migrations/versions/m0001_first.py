"""First schema: events, jobs, holds, snapshots, suites, publications, uploads, refs, applied configs."""

from alembic import op

from distwright.store.schema import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make all tables. Frozen by copying the definitions here as soon as a second migration exists."""
    metadata.create_all(op.get_bind())
