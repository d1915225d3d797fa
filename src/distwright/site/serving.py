"""Files that the web face gives: of recorded archives, of our own published trees, and logs."""

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from distwright.archive.served_root import tree_root
from distwright.archive.serving import RecordedServing
from distwright.archive.shelf import Mirrors
from distwright.config.model import Config
from distwright.errors import NotFound, quoted
from distwright.mirrors import make_fetcher
from distwright.site.places import alternates
from distwright.site.readers import Viewer
from distwright.site.views import seen_job
from distwright.store.database import Database
from distwright.store.objects import FileObjects
from distwright.store.paths import StatePaths


class Serving:
    """Serves an installation; the network is used only for pool files that are not here yet."""

    def __init__(
        self, database: Database, objects: FileObjects, paths: StatePaths, now: Callable[[], datetime], mirrors: Mirrors
    ) -> None:
        """Serve rows, objects and trees. mirrors: where this machine fetches an archive now."""
        self.database, self.objects = database, objects
        self.fetcher = make_fetcher()
        self.alternates = alternates(os.environ)
        self._paths, self._now, self._mirrors = paths, now, mirrors
        self._recorded: dict[str, RecordedServing] = {}

    def recorded(self, archive: str) -> RecordedServing:
        """Give what answers for a recorded archive."""
        if archive not in self._recorded:
            self._recorded[archive] = RecordedServing(
                archive, self, self._paths.cache / "pool", self._now, self._mirrors, self._paths.public
            )
        return self._recorded[archive]

    def archived(self, config: Config, archive: str, path: str) -> BinaryIO:
        """Open a file of an archive of ours, whoever asks; raise NotFound, whatever the path is."""
        return self._opened(tree_root(config, self._paths, archive), path)

    def image(self, path: str) -> BinaryIO:
        """Open a file of the published images; raise NotFound, whatever the path is."""
        return self._opened(self._paths.public / "images", path)

    def _opened(self, place: Path, path: str) -> BinaryIO:
        root = place.resolve()
        try:
            file = (root / path).resolve()
            if file.is_relative_to(root) and file.is_file():
                return file.open("rb")
        except (OSError, ValueError, RuntimeError):  # too long a name, a NUL, a loop of links
            pass
        raise NotFound(f"{place.name} has no file {quoted(path)}", hint="see the links on the front page")

    def log(self, viewer: Viewer, number: int) -> Path:
        """Find the log of a job's newest attempt; raise NotFound."""
        log = seen_job(self.database, self._paths, viewer, number).log
        if not log.exists():
            raise NotFound(f"job {number} has no log yet", hint=f"see /job/{number}")
        return log
