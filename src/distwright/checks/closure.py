"""Which packages had a part in a build: those that its .buildinfo says were installed."""

from distwright.errors import BadInput, NotFound
from distwright.formats.buildinfo import parse_buildinfo
from distwright.model import plain
from distwright.model.digests import Sha256
from distwright.model.records import Job
from distwright.store.objects import ObjectStore


def installed_with(objects: ObjectStore, job: Job | None) -> frozenset[str] | None:
    """Name the packages that were installed when a job built its package; None if nobody has kept that."""
    if job is None or job.outputs is None or "files" not in job.outputs:
        return None
    names = frozenset[str]()
    try:
        for name, digest in plain.text_map(job.outputs, "files").items():
            if name.endswith(".buildinfo"):
                record = parse_buildinfo(objects.read(Sha256(digest)))
                names |= {package.partition(":")[0] for package, _ in record.installed_build_depends}
    except (BadInput, NotFound):
        return None
    return names or None
