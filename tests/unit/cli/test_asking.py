"""Who asks the resident server runs a command alone only if the server surely has not, whatever becomes of the server."""

import os
import select
import socket
import threading
from pathlib import Path

import pytest

from distwright.cli.asking import ask
from distwright.cli.resident_terms import BEGUN, REFUSED


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ([BEGUN, b"0"], 0),
        ([BEGUN, b"130"], 130),
        ([REFUSED], None),
        ([], None),
        ([BEGUN, REFUSED], None),
        ([BEGUN], 70),
    ],
)
@pytest.mark.parametrize("is_read", [True, False])  # what is left unread makes an end an error
def test_what_a_server_says_before_it_ends_decides(
    tmp_path: Path, said: list[bytes], code: int | None, *, is_read: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    directory = os.open(tmp_path / "run", os.O_PATH)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(f"/proc/self/fd/{directory}/command.sock")
        os.close(directory)
        listening.listen()

        def answer() -> None:
            link, _ = listening.accept()
            with link:
                select.select([link], [], [])  # no server says anything before it is asked
                if is_read:
                    _, files, _, _ = socket.recv_fds(link, 1 << 20, 3)
                    for file in files:
                        os.close(file)
                for word in said:
                    link.send(word)

        server = threading.Thread(target=answer)
        server.start()
        assert ask(str(tmp_path), ["suite", "list"]) == code
        server.join()
    assert ("may have done its work" in capsys.readouterr().err) == (code == 70)


def test_a_server_that_is_gone_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert ask(str(tmp_path), ["suite", "list"]) is None
