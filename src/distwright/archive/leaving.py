"""What was made in secret goes to no suite that more people read: asked once more where a suite moves, whatever led there."""

from distwright.config.embargo import audience, is_private_archive
from distwright.config.model import Config
from distwright.errors import Refused
from distwright.model.embargo import ARCHIVE
from distwright.store.database import Transaction
from distwright.store.embargoes import embargo_of_job


def refuse_leaving(tx: Transaction, config: Config, archive: str, job: int | None) -> None:
    """Raise Refused if a job that is under an embargo would change a suite that not only its audience reads.

    Tables do not lead there, but a command may: the build of a private repo for any suite that somebody names.
    """
    embargo = embargo_of_job(tx, job)
    if not embargo:
        return
    readers = audience(config, f"{ARCHIVE}/{archive}")
    if not is_private_archive(config, archive) or not all(readers <= audience(config, name) for name in embargo.names):
        raise Refused(
            f"what is made of {embargo.text} is private, and archive {archive} has other readers",
            hint="distwright embargo list",
        )
