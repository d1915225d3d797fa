"""The times of the worlds: long past, so that no clock that runs the tests is before them."""

from datetime import UTC, datetime, timedelta

DATE = datetime(2024, 1, 10, 12, 0, tzinfo=UTC)
"""When upstream published first."""

NOW = DATE + timedelta(hours=3)
"""When we look."""

DAY = timedelta(days=1)
