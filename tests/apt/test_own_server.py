"""apt reads from the server that `distwright serve` runs: both names of a suite, files that must be encoded, the rest of a file."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from tests.worlds.apt import make_apt_of
from tests.worlds.archive import make_deb
from tests.worlds.commands import CONFIG, CommandLine, command_line

from distwright.app import open_app
from distwright.web.application import web_application

NOISE = "".join(f"{number * 7919 % 10007}\n" for number in range(40_000))
HELLO = make_deb("hello", "1:2.0+b~rc1", content={"usr/share/hello": NOISE})


@contextmanager
def serving(line: CommandLine) -> Iterator[tuple[str, list[tuple[str, int, int]]]]:
    """Serve an installation; gives the URL of the archive petrel, and of each answer: path, status, length."""
    answers: list[tuple[str, int, int]] = []
    application = web_application(open_app(str(line.state)))

    async def noted(scope, receive, send):  # type: ignore[no-untyped-def]
        async def send_noted(message):  # type: ignore[no-untyped-def]
            if message["type"] == "http.response.start":
                headers = dict(message["headers"])
                answers.append((scope["path"], message["status"], int(headers.get(b"content-length", 0))))
            await send(message)

        await application(scope, receive, send_noted if scope["type"] == "http" else send)

    server = uvicorn.Server(uvicorn.Config(noted, host="127.0.0.1", port=0, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/petrel", answers
    finally:
        server.should_exit = True
        thread.join()


def test_apt_reads_an_archive_from_our_own_server_and_goes_on_where_a_download_was_cut(tmp_path: Path) -> None:
    line = command_line(tmp_path, CONFIG.replace("[suite.devel]\n", '[suite.devel]\ncodename = "petrel-2"\n'))
    line.publish("devel", HELLO)
    with serving(line) as (url, answers):
        for name in ("devel", "petrel-2"):
            apt = make_apt_of(tmp_path / name, line.run("archive", "sources", "petrel", name, "--url", url).text)
            updated = apt.update()
            assert (updated.exit_code, updated.complaints) == (0, [])
            assert apt.candidates() == ["hello 1:2.0+b~rc1"]
        half = len(HELLO.content) // 2
        place = line.state / "public" / "petrel" / HELLO.pool_path()
        partial = apt.folder / "cache/archives/partial" / "hello_1%3a2.0+b~rc1_amd64.deb"
        partial.write_bytes(HELLO.content[:half])
        os.utime(partial, (place.stat().st_mtime, int(place.stat().st_mtime)))
        answers.clear()
        done = apt.run("apt-get", "--yes", "--download-only", "install", "hello")
        assert (done.exit_code, done.complaints) == (0, [])
        assert answers == [(f"/petrel/{HELLO.pool_path()}", 206, len(HELLO.content) - half)]
        assert (partial.parent.parent / partial.name).read_bytes() == HELLO.content
