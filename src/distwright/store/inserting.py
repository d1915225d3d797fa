"""Insert rows of which some may be there already, on both databases."""

import sqlalchemy as sa

from distwright.store.database import Transaction


def insert_new(tx: Transaction, table: sa.Table) -> sa.Insert:
    """Give an insert that passes over rows whose key is taken."""
    if tx.connection.dialect.name == "sqlite":
        return table.insert().prefix_with("OR IGNORE")
    from sqlalchemy.dialects import postgresql  # late: it costs 30 ms at every start of the command line

    return postgresql.insert(table).on_conflict_do_nothing()
