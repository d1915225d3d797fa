"""Fetch many pool files at once: bounded, verified, resumable. What arrived is an object, whatever ends us."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from threading import Event, Lock

from distwright.archive.fetching import fetch_object
from distwright.archive.poolindex import PoolFile
from distwright.errors import DistwrightError, NotFound, Refused, Unreachable
from distwright.jobs.step import Context

PARALLEL = 8  # more gains little with one mirror, and mirrors count connections
_LOOK_EVERY_S = 0.2


def gather(files: Iterable[PoolFile], urls: Sequence[str], context: Context, stage: str) -> int:
    """Fetch the files that are not here yet, each from the first of `urls` that gives what was signed; say how many.

    A mirror that did not answer is asked last from then on. Raises NotFound and Refused (no mirror gives the right bytes),
    Unreachable (nor does one that did not answer), OutOfSpace, Interrupted; what has arrived stays.
    Memory: the list of what is missing. Cost for what is here: one look at each file.
    """
    missing = {file.sha256: file for file in files if not context.objects.touch(file.sha256)}
    if not missing:
        return 0
    size = sum(file.size_bytes for file in missing.values())
    context.log(f"{stage}: {len(missing)} files to fetch, {size} bytes")
    _Gathering(list(missing.values()), urls, context, stage).fetch_all()
    return len(missing)


class _Gathering:
    """One run: its threads take files from one list and stop together."""

    def __init__(self, files: Sequence[PoolFile], urls: Sequence[str], context: Context, stage: str) -> None:
        self._context, self._urls, self._stage = context, urls, stage
        self._silent: set[str] = set()
        self._left = iter(files)
        self._lock, self._stop = Lock(), Event()
        self._count, self._bytes = 0, 0
        self._total, self._total_bytes = len(files), sum(file.size_bytes for file in files)

    def fetch_all(self) -> None:
        with ThreadPoolExecutor(max_workers=PARALLEL) as pool:
            running = {pool.submit(self._work) for _ in range(min(PARALLEL, self._total))}
            try:
                while running:
                    done, running = wait(running, timeout=_LOOK_EVERY_S, return_when=FIRST_EXCEPTION)
                    for thread in done:
                        thread.result()
                    self._context.check_cancelled()
                    self._tell()
            finally:
                self._stop.set()

    def _work(self) -> None:
        for file in self._files():
            self._fetch(file)
            with self._lock:
                self._count += 1
                self._bytes += file.size_bytes

    def _files(self) -> Iterator[PoolFile]:
        while not self._stop.is_set():
            with self._lock:
                file = next(self._left, None)
            if file is None:
                return
            yield file

    def _tell(self) -> None:
        """Say how many files and bytes have come; who shows it adds the rate and the time that is left."""
        with self._lock:
            count, received = self._count, self._bytes
        stage = f"{self._stage}: {count} of {self._total} files"
        self._context.progress(stage, received // 1000, self._total_bytes // 1000, "kB")

    def _fetch(self, file: PoolFile) -> None:
        failure: DistwrightError = NotFound(f"{file.path} has no mirror", hint="set fetch_from of the archive")
        for url in sorted(self._urls, key=self._silent.__contains__):
            try:
                fetch_object(self._context, f"{url}/{file.path}", file.sha256, file.size_bytes)
            except Unreachable as error:
                self._silent.add(url)
                failure = error
            except (NotFound, Refused) as error:
                # While a mirror is silent, that the others lack the file does not mean that upstream has moved on.
                failure = failure if isinstance(failure, Unreachable) else error
            else:
                return
        raise failure
