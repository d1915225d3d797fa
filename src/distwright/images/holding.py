"""Images that people hold: whatever the budget says, they stay until they are released."""

from datetime import datetime

from distwright.archive.needs import PERSON
from distwright.errors import BadUsage, NotFound
from distwright.jobs.step import Context
from distwright.model.digests import Sha256
from distwright.store.holds import Hold, add_holds, drop_hold, holds_of, holds_on


def hold_image(context: Context, iso: Sha256, holder: str, reason: str, until: datetime | None = None) -> None:
    """Let a person hold an image, until they let go or until a time; what they said of it before is replaced.

    Raises BadUsage for a time that is past, or no reason; NotFound if the image is no longer kept.
    """
    if not reason.strip():
        raise BadUsage("a hold needs a reason: somebody will ask in a year", hint="add --reason")
    if until is not None and until <= context.now():
        raise BadUsage(f"{until:%Y-%m-%d %H:%M} is past", hint="give a later --until, or none")
    hold = Hold(holder, "object", iso, reason, until)
    with context.write() as tx:
        is_built = any(kept.holder.startswith("image ") for kept in holds_on(tx, "object", iso))
        if not is_built or not context.objects.touch(iso):
            raise NotFound("the image is no longer kept", hint="distwright image build NAME")
        drop_hold(tx, hold)
        add_holds(tx, holder, [hold], context.now())


def release_image(context: Context, iso: Sha256, holder: str) -> None:
    """Let a person's hold go; raise NotFound if there is none, BadUsage for a holder that is no person."""
    if not holder.startswith(PERSON):
        raise BadUsage(f"{holder} is no person, it lets go by itself", hint="distwright image retire")
    with context.write() as tx:
        held = [hold for hold in holds_of(tx, holder) if (hold.kind, hold.target) == ("object", iso)]
        if not held:
            raise NotFound(f"{holder} does not hold the image", hint="distwright image retire")
        drop_hold(tx, held[0])
