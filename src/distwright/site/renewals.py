"""A worker looks now and then for what ends soon, and orders that it is signed anew: no upstream and no timer is needed."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from distwright.archive.renewing import renewal_orders
from distwright.config.model import Config
from distwright.errors import DistwrightError
from distwright.jobs.order import JobOrder
from distwright.store.database import Database
from distwright.store.objects import ObjectStore

LOOK_EVERY = timedelta(minutes=10)


@dataclass(slots=True)
class Renewals:
    """Remembers when it looked. place: queues an order, with the commit of the configuration. tell: hears what cannot be read."""

    database: Database
    objects: ObjectStore
    place: Callable[[JobOrder, str], object]
    tell: Callable[[str], None]
    looked_at: datetime | None = None

    def order_due(self, config: Config, commit: str, now: datetime) -> None:
        """Order what is due, unless it was looked for a short while ago; a document that is lost or rotten stops no worker."""
        if self.looked_at is not None and self.looked_at <= now < self.looked_at + LOOK_EVERY:
            return
        self.looked_at = now
        try:
            orders = renewal_orders(config, self.database, self.objects, now)
        except (DistwrightError, KeyError, TypeError, ValueError) as error:
            self.tell(f"cannot see what ends soon: {error!s:.200}; try: distwright archive fsck")
            return
        for order in orders:
            self.place(order, commit)
