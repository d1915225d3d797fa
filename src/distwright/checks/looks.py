"""Every kind of inquiry that this version knows."""

from collections.abc import Mapping

from distwright.checks import culprit, impact, sweep
from distwright.checks.filing import SWEEP
from distwright.checks.inquiries import Look
from distwright.checks.search import CULPRIT

LOOKS: Mapping[str, Look] = {SWEEP: sweep.look, CULPRIT: culprit.look, impact.KIND: impact.look}
