"""`distwright serve`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import uvicorn

from distwright.app import is_port_free, open_app, state_paths
from distwright.cli.options import state_option
from distwright.cli.resident import start_resident, stop_resident
from distwright.errors import Busy
from distwright.web.application import web_application


@click.command()
@click.option("--port", default=8080, show_default=True, type=click.IntRange(1, 65535), help="Port on 127.0.0.1.")
@state_option
def command(port: int, state: str | None) -> None:
    """Serve archives, images and the status page on loopback. Ctrl-C stops it. Works without network.

    While it runs, other commands on this state are answered by it: they start in a few hundredths of a second.
    """
    paths = state_paths(state)
    with _resident(
        paths.root, wanted=paths.database.exists()
    ):  # before the database is opened: a fork must not inherit it
        app = open_app(state)
        app.config()
        if not is_port_free(port):
            raise Busy(f"port {port} of 127.0.0.1 is in use", hint=f"distwright serve --port {port + 1}")
        click.echo(f"http://127.0.0.1:{port}/  (Ctrl-C stops)", err=True)
        uvicorn.run(web_application(app), host="127.0.0.1", port=port, log_level="warning", access_log=False)


@contextmanager
def _resident(root: Path, *, wanted: bool) -> Iterator[None]:
    pid = start_resident(root) if wanted else None
    try:
        yield
    finally:
        if pid is not None:
            stop_resident(pid)
