"""Servers of published archives on loopback: our own as its users start it, and nginx on the plain tree."""

import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.worlds.processes import wait_until

DISTWRIGHT = Path(sys.executable).parent / "distwright"
_NGINX = """\
daemon off;
{user}worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 64; }}
http {{
    access_log off;
    default_type application/octet-stream;
    {bodies}
    server {{
        listen 127.0.0.1:{port};
        root {public};
        {more}
        rewrite ^/([^/]+)/snapshots/[^/]+/(pool/.*)$ /$1/$2 redirect;
    }}
}}
"""
_BODIES = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


_KEPT: list[socket.socket] = []


def free_port() -> int:
    """Give a port of loopback for a server that must know its own beforehand.

    It is kept bound, without listening, until the tests end: no program gets it by chance, neither to listen nor to connect
    from, while a server that sets SO_REUSEADDR (all do) may come and go there.
    """
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    _KEPT.append(kept)
    port: int = kept.getsockname()[1]
    return port


@contextmanager
def our_server(state: Path, port: int) -> Iterator[str]:
    """Run `distwright serve`; give its URL."""
    argv = [str(DISTWRIGHT), "serve", "--port", str(port), "--state", str(state)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE) as process:
        try:
            assert process.stderr is not None
            with selectors.DefaultSelector() as selector:
                selector.register(process.stderr, selectors.EVENT_READ)
                assert selector.select(30), "serve did not begin"
            first = process.stderr.readline().decode()
            assert first.startswith("http://127.0.0.1"), first
            wait_until(lambda: _listens(port), f"distwright listens on {port}")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)


@contextmanager
def nginx(public: Path, folder: Path, more: str = "") -> Iterator[str]:
    """Serve a plain tree with nginx, which as root reads it as www-data; what it complained of fails in the end.

    more: of its server.
    """
    port = free_port()
    for name in _BODIES:
        (folder / name).mkdir(parents=True)
    user = "user www-data;\n" if os.geteuid() == 0 else ""
    bodies = "".join(f"{name}_temp_path {folder}/{name};\n    " for name in _BODIES)
    (folder / "nginx.conf").write_text(
        _NGINX.format(user=user, folder=folder, bodies=bodies, port=port, public=public, more=more), encoding="utf-8"
    )
    argv = ["/usr/sbin/nginx", "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with subprocess.Popen(argv) as process:
        try:
            wait_until(lambda: process.poll() is not None or _listens(port), f"nginx listens on {port}")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)
    said = [
        line for line in (folder / "error.log").read_text(encoding="utf-8").splitlines() if "No such file" not in line
    ]
    assert said == []


@contextmanager
def rsync_daemon(public: Path, folder: Path) -> Iterator[str]:
    """Give away a plain tree by rsync, each archive as a module; give the URL that they are below."""
    port = free_port()
    folder.mkdir()
    modules = "".join(
        f"[{archive.name}]\npath = {archive}\nread only = yes\nexclude = .new-* .gone-*\n"
        for archive in sorted(public.iterdir())
    )
    users = "uid = nobody\ngid = nogroup\n" if os.geteuid() == 0 else "use chroot = no\n"
    (folder / "rsyncd.conf").write_text(f"{users}log file = {folder}/log\npid file = {folder}/pid\n{modules}")
    argv = (
        "rsync",
        "--daemon",
        "--no-detach",
        f"--port={port}",
        "--address=127.0.0.1",
        f"--config={folder}/rsyncd.conf",
    )
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: process.poll() is not None or _listens(port), f"rsync listens on {port}")
            yield f"rsync://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
