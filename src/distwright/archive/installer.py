"""Images of the Debian installer: Release names their SHA256SUMS, and that names them. Recorded with it, all or nothing."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from distwright.archive.fetching import fetch_object
from distwright.archive.judging import RecordRequest
from distwright.archive.snapshots import RecordedIndex
from distwright.archive.unrecorded import SUMS, parse_sums
from distwright.jobs.step import Context
from distwright.model.digests import Sha256

_PARALLEL = 4


def is_image(path: str) -> bool:
    """Say whether a file of a suite is one of the installer's: recorded because SHA256SUMS names it, not Release."""
    return "/installer-" in path and "/images/" in path and not path.endswith(f"/{SUMS}")


def fetch_images(
    request: RecordRequest, context: Context, suite: str, indexes: tuple[RecordedIndex, ...]
) -> Iterator[RecordedIndex]:
    """Fetch the images that recorded SHA256SUMS name and that are not here yet; give all of them.

    Raises NotFound and Refused if the mirror has another one or none, BadInput for a SHA256SUMS that is none.
    """
    wanted: dict[str, Sha256] = {}
    for index in indexes:
        if index.path.endswith(f"/{SUMS}"):
            wanted |= parse_sums(context.objects.read(index.sha256), index.path)

    def fetch(path: str) -> RecordedIndex:
        digest = wanted[path]
        context.check_cancelled()
        if not context.objects.touch(digest):
            fetch_object(context, f"{request.url}/dists/{suite}/{path}", digest, None)
            context.log(f"fetched {path} of {request.archive}/{suite}")
        return RecordedIndex(path, digest, context.objects.size(digest), digest)

    with ThreadPoolExecutor(max_workers=_PARALLEL) as pool:
        for number, image in enumerate(pool.map(fetch, sorted(wanted)), start=1):
            context.progress(f"record {request.archive}/{suite}", number, len(wanted), "images")
            yield image
