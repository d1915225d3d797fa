"""What comes after a layer that cannot be: the same image in full, and why, for everybody who looks at its job."""

from distwright.jobs.order import retitle
from distwright.model import plain
from distwright.model.outcomes import Outcome
from distwright.model.records import Job
from distwright.store.database import Database

_TITLE_LENGTH = 500


def why_no_layer(ended: Job) -> str:
    """Say why a layer has come to nothing, and the image must be built in full; "" if it has not (pure).

    What broke or was cancelled says nothing of the image.
    """
    if ended.outcome in (Outcome.FAILED, Outcome.TIMED_OUT):
        return ended.message or str(ended.outcome)
    outputs = ended.outputs or {}
    return "; ".join(plain.texts(outputs, "objections")) if "objections" in outputs else ""


def say_why_in_full(database: Database, job: Job, why: str) -> None:
    """Let the title of the build in full say why it is no layer, as long as it is not done: whoever ordered it."""
    with database.write() as tx:
        retitle(tx, job, f"build image {job.inputs['name']} in full, for it is no layer: {why}"[:_TITLE_LENGTH])
