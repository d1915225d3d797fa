"""Every kind of inquiry that this version knows."""

from collections.abc import Mapping

from distwright.checks import impact
from distwright.checks.inquiries import Look

LOOKS: Mapping[str, Look] = {impact.KIND: impact.look}
