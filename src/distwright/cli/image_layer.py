"""`distwright image build NAME --layer`: a layer where that is the same as a full build, else the full build, and why."""

from distwright.app import App
from distwright.builds.destinations import BUILD_KIND
from distwright.images.layer_orders import layer_order
from distwright.images.layer_packages import NotLayered
from distwright.model.records import Job
from distwright.site.awaited import UNTIL_PUBLISHED
from distwright.site.layers import say_why_in_full, why_no_layer
from distwright.site.views import job_detail
from distwright.worker.loop import Watcher


def build_layer(app: App, name: str, watcher: Watcher) -> Job:
    """Build an image as a layer; if it cannot be one, or comes to nothing, say why and order it in full. Give the job that counts.

    What was pushed or uploaded before is built and published first, and nothing else is done until the layer is there.
    """
    app.run_until_idle(watcher, kinds=(BUILD_KIND.name, *UNTIL_PUBLISHED))
    try:
        layer = app.order_image(name, layer_order)
    except NotLayered as reasons:
        return _order_in_full(app, name, reasons.message)
    app.run_until_done(watcher, [layer])
    ended = job_detail(app.database, app.paths, layer.id).job
    why = why_no_layer(ended)
    return _order_in_full(app, name, why) if why else ended


def _order_in_full(app: App, name: str, why: str) -> Job:
    app.tell(f"{name} is built in full, for it is no layer: {why}")
    job = app.order_image(name)
    say_why_in_full(app.database, job, why)
    return job_detail(app.database, app.paths, job.id).job
