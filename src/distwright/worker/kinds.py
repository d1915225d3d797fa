"""Every kind of job that this version knows."""

from collections.abc import Mapping

from distwright.archive.kinds import ACCEPT, PUBLISH, RECORD, RENEW, TIDY
from distwright.builds.install import SUITE_INSTALL
from distwright.builds.package import PACKAGE_BUILD
from distwright.builds.trying import PACKAGE_TRY
from distwright.checks.explain import PACKAGE_EXPLAIN
from distwright.checks.rebuild import PACKAGE_REBUILD
from distwright.images.boot import IMAGE_BOOT
from distwright.images.build import IMAGE_BUILD
from distwright.jobs.step import JobKind

KINDS: Mapping[str, JobKind] = {
    kind.kind.name: kind
    for kind in (
        RECORD,
        PACKAGE_BUILD,
        PACKAGE_TRY,
        PACKAGE_REBUILD,
        PACKAGE_EXPLAIN,
        ACCEPT,
        PUBLISH,
        RENEW,
        TIDY,
        SUITE_INSTALL,
        IMAGE_BUILD,
        IMAGE_BOOT,
    )
}
