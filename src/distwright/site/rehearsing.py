"""What faces ask of a rehearsal: its order, and how it ended."""

from dataclasses import dataclass

from distwright.checks.image_rehearsal import rehearsal_order, tagged_archives
from distwright.checks.rebuild import SAME, UNKNOWN
from distwright.jobs.order import JobOrder, get_job
from distwright.model import plain
from distwright.store.database import Database
from distwright.store.holds import holds_of
from distwright.store.objects import ObjectStore
from distwright.store.signed import find_tag


@dataclass(frozen=True, slots=True)
class ShownRehearsal:
    """How a rehearsal ended. differences: the most telling first."""

    verdict: str
    message: str
    differences: tuple[str, ...]

    @property
    def is_same(self) -> bool:
        """Say whether it is the same image."""
        return self.verdict == SAME


def order_of_rehearsal(database: Database, objects: ObjectStore, number: int, tag: str) -> JobOrder:
    """Order the rehearsal of the image that a job built, against a tag; raise NotFound, Refused."""
    with database.read() as tx:
        job = get_job(tx, number)
        found = {archive: find_tag(tx, archive, tag) for archive in tagged_archives(job)}
        serials = tuple(hold for hold in holds_of(tx, f"image {number}") if hold.kind == "serial")
    return rehearsal_order(
        job, tag, {archive: row for archive, row in found.items() if row is not None}, objects, serials
    )


def show_rehearsal(database: Database, number: int) -> ShownRehearsal:
    """Say how a rehearsal ended; raise NotFound."""
    with database.read() as tx:
        job = get_job(tx, number)
    outputs = job.outputs or {}
    return ShownRehearsal(
        verdict=plain.text(outputs, "verdict") if "verdict" in outputs else UNKNOWN,
        message=job.message or str(job.outcome or job.state),
        differences=plain.texts(outputs, "differences") if "differences" in outputs else (),
    )
