"""Times in the database: sortable text, always UTC, always with microseconds."""

from datetime import UTC, datetime

from distwright.errors import BadInput


def to_text(moment: datetime) -> str:
    """Write an aware time; raise BadInput for a naive one."""
    if moment.tzinfo is None:
        raise BadInput("a time without a zone cannot be stored", hint="pass an aware datetime in UTC")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_text(text: str) -> datetime:
    """Read what `to_text` wrote."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def maybe_from_text(text: str | None) -> datetime | None:
    """Read a time that may be absent."""
    return None if text is None else from_text(text)
