"""Every kind of inquiry that this version knows."""

from collections.abc import Mapping

from distwright.checks import culprit, sweep
from distwright.checks.filing import SWEEP
from distwright.checks.inquiries import Look

LOOKS: Mapping[str, Look] = {SWEEP: sweep.look, culprit.CULPRIT: culprit.look}
