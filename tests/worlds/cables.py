"""A second machine as a network namespace, joined to this one by a cable (veth) that can be pulled; and TLS before a server."""

import ctypes
import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.worlds.processes import wait_until
from tests.worlds.servers import free_port

_CLONE_NEWNET = 0x40000000
_numbers = itertools.count(1)
_NGINX = """\
daemon off;
{user}worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
events {{ worker_connections 64; }}
http {{
    access_log off;
    {bodies}
    server {{
        listen {address}:{port} ssl;
        ssl_certificate {folder}/cert.pem;
        ssl_certificate_key {folder}/key.pem;
        client_max_body_size 16m;
        location /host/ {{
            proxy_pass {url};
            proxy_http_version 1.1;
            proxy_set_header X-Forwarded-Proto https;
            proxy_request_buffering off;
            proxy_buffering off;
        }}
    }}
}}
"""


@dataclass(frozen=True)
class Cable:
    """The cable between. here, there: addresses of both ends."""

    name: str
    here: str
    there: str

    def pull(self) -> None:
        """Take it out: nothing goes through, and nobody is told."""
        _run("ip", "link", "set", self.name, "down")

    def plug(self) -> None:
        """Put it back."""
        _run("ip", "link", "set", self.name, "up")

    def enter(self) -> None:
        """Be on the other machine, with this process and its children."""
        descriptor = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(descriptor)


@contextmanager
def cable() -> Iterator[Cable]:
    """Join a new machine to this one, until the block ends. Only root may."""
    number = next(_numbers) + os.getpid() % 200
    name = f"dwt{os.getpid() % 100000}x{number % 100}"
    made = Cable(name, f"10.213.{number % 250}.1", f"10.213.{number % 250}.2")
    _run("ip", "netns", "add", name)
    try:
        _run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        _run("ip", "addr", "add", f"{made.here}/24", "dev", name)
        _run("ip", "link", "set", name, "up")
        for words in (
            ("addr", "add", f"{made.there}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("link", "set", "lo", "up"),
        ):
            _run("ip", "-n", name, *words)
        yield made
    finally:
        subprocess.run(["ip", "link", "del", name], check=False, capture_output=True)
        _run("ip", "netns", "del", name)


@contextmanager
def tls_in_front(url: str, address: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """Have nginx take TLS at an address and pass /host/ on, as the how-to says; give its URL, and the certificate to trust."""
    port = free_port()
    bodies = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    for name in bodies:
        (folder / name).mkdir(parents=True)
    subject = ["-subj", "/CN=server", "-addext", f"subjectAltName=IP:{address}"]
    keys = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    _run(
        "openssl", "req", "-x509", *keys, *subject, "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")
    )
    text = _NGINX.format(
        user="user root;\n" if os.geteuid() == 0 else "",
        folder=folder,
        address=address,
        port=port,
        url=url,
        bodies="".join(f"{name}_temp_path {folder}/{name};\n    " for name in bodies),
    )
    (folder / "nginx.conf").write_text(text)
    argv = ["/usr/sbin/nginx", "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with subprocess.Popen(argv) as process:
        try:
            pid = folder / "nginx.pid"
            wait_until(lambda: process.poll() is not None or (pid.exists() and pid.read_text()), "nginx to listen")
            assert process.poll() is None, (folder / "error.log").read_text()
            yield f"https://{address}:{port}", folder / "cert.pem"
        finally:
            process.terminate()
            process.wait(20)


def _run(*argv: str) -> None:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
