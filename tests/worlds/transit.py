"""A published tree behind a plain web server, or behind a proxy that harms files on the way to apt."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial
from pathlib import Path
from urllib.parse import unquote

from tests.worlds.mirror import Answer, Mirror, Request, answer, serving

Harm = Callable[[bytes], Answer]
PORTAL = b"<!DOCTYPE html><html><title>Hotel Petrel</title><p>Please log in.</p></html>\n"

HARMS: dict[str, Harm] = {
    "a bit is another": lambda content: answer(200, content[:-1] + bytes([content[-1] ^ 1])),
    "there is more": lambda content: answer(200, content + b"and more\n"),
    "the end is missing": lambda content: answer(200, content[:-10]),
    "the line is cut": lambda content: answer(200, content[:-10], length=len(content)),
    "it is empty": lambda _: answer(200),
    "a portal answers": lambda _: answer(200, PORTAL, Content_Type="text/html"),
    "it is not there": lambda _: answer(404, b"not found\n"),
    "the server is ill": lambda _: answer(503, b"come back later\n"),
}


@dataclass
class Tree(dict[str, Answer]):
    """What is served of a folder, by path. harm: part of a path -> what becomes of such files.

    As nginx does: Last-Modified is the time of the file in seconds, and who has a file of that very time is told that it has not
    changed.
    """

    root: Path
    harm: dict[str, Harm] = field(default_factory=dict)
    mirror: Mirror = field(default_factory=Mirror)

    @property
    def url(self) -> str:
        """The base URL of the archive petrel."""
        return f"{self.mirror.url}/petrel"

    def asked(self) -> list[str]:
        """Give the paths that were asked for since the last time, below the archive."""
        paths = [unquote(path).removeprefix("/petrel/") for path, _ in self.mirror.asked]
        self.mirror.asked.clear()
        return paths

    def get(self, path: str, default: Answer | None = None) -> Answer:  # type: ignore[override]
        """Give a file, perhaps harmed."""
        place = self.root / unquote(path).lstrip("/")
        if not place.is_file():
            return answer(404)
        harm = next((harm for part, harm in self.harm.items() if part in unquote(path)), None)
        if harm is not None:
            return harm(place.read_bytes())
        return partial(_respond, place)


def _respond(place: Path, request: Request) -> None:
    content, date = place.read_bytes(), formatdate(int(place.stat().st_mtime), usegmt=True)
    is_known = request.headers.get("If-Modified-Since") == date
    answer(304 if is_known else 200, b"" if is_known else content, Last_Modified=date)(request)


@contextmanager
def serving_tree(root: Path) -> Iterator[Tree]:
    """Serve the public folder of an installation."""
    with serving() as mirror:
        tree = Tree(root, mirror=mirror)
        mirror.answers = tree
        yield tree
