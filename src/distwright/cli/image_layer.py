"""`distwright image build NAME --layer`: a layer where that is the same as a full build, else the full build, and why."""

from dataclasses import replace

from distwright.app import App
from distwright.archive.resolve import Ground
from distwright.images.layer_orders import layer_order
from distwright.images.layer_packages import NotLayered
from distwright.images.resolve import image_order
from distwright.jobs.order import JobOrder, get_job
from distwright.model import plain
from distwright.model.outcomes import Outcome
from distwright.model.records import Job
from distwright.store.database import Database
from distwright.worker.loop import Watcher

_TITLE_LENGTH = 500


def build_layer(app: App, name: str, watcher: Watcher) -> Job:
    """Build an image as a layer; if it cannot be one, or comes to nothing, say why and order it in full. Give the job that counts.

    The title of the job in full says why, too, so the pages of it do.
    """
    try:
        layer = app.order_image(name, layer_order)
    except NotLayered as reasons:
        return _order_in_full(app, name, reasons.message)
    app.run_until_idle(watcher, [layer])
    with app.database.read() as tx:
        ended = get_job(tx, layer.id)
    why = why_no_layer(ended)
    return _order_in_full(app, name, why) if why else ended


def why_no_layer(ended: Job) -> str:
    """Say why a layer has come to nothing, and the image must be built in full; "" if it has not (pure).

    What broke or was cancelled says nothing of the image.
    """
    if ended.outcome in (Outcome.FAILED, Outcome.TIMED_OUT):
        return ended.message or str(ended.outcome)
    outputs = ended.outputs or {}
    return "; ".join(plain.texts(outputs, "objections")) if "objections" in outputs else ""


def _order_in_full(app: App, name: str, why: str) -> Job:
    def order(database: Database, ground: Ground, image: str) -> JobOrder:
        made = image_order(database, ground, image)
        return replace(made, title=f"{made.title} in full, for it is no layer: {why}"[:_TITLE_LENGTH])

    app.tell(f"{name} is built in full, for it is no layer: {why}")
    return app.order_image(name, order)
