"""A worker looks now and then for what ends soon, and orders that it is signed anew: no upstream and no timer is needed."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from distwright.archive.renewing import renewal_order
from distwright.config.model import Config
from distwright.jobs.order import JobOrder
from distwright.store.database import Database
from distwright.store.objects import ObjectStore

LOOK_EVERY = timedelta(minutes=10)


@dataclass(slots=True)
class Renewals:
    """Remembers when it looked. place: queues an order, with the commit of the configuration."""

    database: Database
    objects: ObjectStore
    place: Callable[[JobOrder, str], object]
    looked_at: datetime | None = None

    def order_due(self, config: Config, commit: str, now: datetime) -> None:
        """Order what is due, unless it was looked for a short while ago."""
        if self.looked_at is not None and self.looked_at <= now < self.looked_at + LOOK_EVERY:
            return
        self.looked_at = now
        order = renewal_order(config, self.database, self.objects, now)
        if order is not None:
            self.place(order, commit)
