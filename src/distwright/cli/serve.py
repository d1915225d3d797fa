"""`distwright serve`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
import uvicorn

from distwright.app import open_app
from distwright.cli.options import say, state_option
from distwright.cli.resident import start_resident, stop_resident
from distwright.errors import Busy
from distwright.net.listen import listening
from distwright.site.places import state_paths
from distwright.web.application import web_application

PATIENCE_S = 5  # for downloads that are under way when it is stopped: a slow client must not keep it


@click.command()
@click.option(
    "--port",
    default=8080,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port on 127.0.0.1; 0: any that is free.",
)
@state_option
@click.pass_obj
def command(run: Callable[[], None] | None, port: int, state: str | None) -> None:
    """Serve archives, images and the status page on loopback. Ctrl-C stops it. Works without network.

    While it runs, other commands on this state are answered by it: they start in a few hundredths of a second. They end
    with it, as by Ctrl-C.
    """
    paths = state_paths(state)
    # Before the database is opened: a fork must not inherit it.
    with _resident(paths.root, run if paths.has_database else None):
        app = open_app(state)
        app.tell = say
        app.config()
        listener = listening(port)
        if listener is None:
            raise Busy(f"port {port} of 127.0.0.1 is in use", hint="distwright serve --port 0")
        with listener, suppress(KeyboardInterrupt):  # uvicorn has ended its requests before it passes that on
            click.echo(f"http://127.0.0.1:{listener.getsockname()[1]}/  (Ctrl-C stops)", err=True)
            settings = uvicorn.Config(
                web_application(app), log_level="warning", access_log=False, timeout_graceful_shutdown=PATIENCE_S
            )
            uvicorn.Server(settings).run(sockets=[listener])


@contextmanager
def _resident(root: Path, run: Callable[[], None] | None) -> Iterator[None]:
    pid = None if run is None else start_resident(root, run)
    try:
        yield
    finally:
        if pid is not None:
            stop_resident(pid)
