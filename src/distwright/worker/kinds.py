"""Every kind of job that this version knows."""

from collections.abc import Mapping

from distwright.archive.kinds import ACCEPT, PUBLISH, RECORD, RENEW, TIDY
from distwright.builds.install import SUITE_INSTALL
from distwright.builds.package import PACKAGE_BUILD
from distwright.builds.trying import PACKAGE_TRY
from distwright.checks.autopkgtest import PACKAGE_AUTOPKGTEST
from distwright.checks.debcheck import SUITE_DEBCHECK
from distwright.checks.dependents import PACKAGE_DEPENDENTS
from distwright.checks.explain import PACKAGE_EXPLAIN
from distwright.checks.image_contents import IMAGE_CONTENTS
from distwright.checks.image_rebuild import IMAGE_REBUILD
from distwright.checks.image_rehearsal import IMAGE_REHEARSAL
from distwright.checks.piuparts import PACKAGE_PIUPARTS
from distwright.checks.rebuild import PACKAGE_REBUILD
from distwright.checks.review import PACKAGE_REVIEW
from distwright.images.boot import IMAGE_BOOT
from distwright.images.build import IMAGE_BUILD
from distwright.images.kits import IMAGE_KIT
from distwright.images.layer import IMAGE_LAYER
from distwright.images.testing import IMAGE_TEST
from distwright.jobs.scaling import POOL_SCALE
from distwright.jobs.step import JobKind
from distwright.repos.fetching import REPO_FETCH

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
        REPO_FETCH,
        POOL_SCALE,
        TIDY,
        SUITE_INSTALL,
        IMAGE_BUILD,
        IMAGE_LAYER,
        IMAGE_BOOT,
        IMAGE_TEST,
        IMAGE_CONTENTS,
        IMAGE_KIT,
        IMAGE_REBUILD,
        IMAGE_REHEARSAL,
        PACKAGE_REVIEW,
        PACKAGE_DEPENDENTS,
        PACKAGE_AUTOPKGTEST,
        PACKAGE_PIUPARTS,
        SUITE_DEBCHECK,
    )
}


def portable(kinds: Mapping[str, JobKind]) -> Mapping[str, JobKind]:
    """Give the kinds that a worker on another machine may run."""
    return {name: kind for name, kind in kinds.items() if kind.is_portable}
