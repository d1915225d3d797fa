"""The report of a test: one HTML file with everything in it that a person wants to see."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from jinja2 import Environment, PackageLoader, Template, select_autoescape

from distwright.formats.log_text import harmless
from distwright.images.outcomes import ScenarioEnd, verdict_of
from distwright.model.outcomes import Outcome

PICTURES_LIMIT_BYTES = 64 << 20
_TAIL = 20_000
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class Shown:
    """A scenario in the report. history: how it ended earlier, in words. pictures: name and data URL; texts: name and text."""

    end: ScenarioEnd
    history: str
    pictures: Sequence[tuple[str, str]]
    texts: Sequence[tuple[str, str]]


@cache
def _template() -> Template:
    return Environment(
        loader=PackageLoader("distwright.images"), autoescape=select_autoescape(), trim_blocks=True
    ).get_template("report.html")


def report(
    image: str, firmware: str, scenarios: Sequence[ScenarioEnd], evidence: Mapping[str, bytes], history: Mapping[str, str],
    *, job: int, at: datetime, is_part: bool = False,
) -> bytes:  # fmt: skip
    """Write the report. evidence: `folder/file` -> content. history: name of a scenario -> how it ended earlier."""
    outcome, verdict = verdict_of(scenarios, is_part=is_part)
    left = PICTURES_LIMIT_BYTES
    shown = []
    for end in scenarios:
        one = _shown(end, evidence, history.get(end.name, ""), left)
        left -= sum(len(address) for _, address in one.pictures)
        shown.append(one)
    text = _template().render(
        title=f"Tests of {image}", image=image, firmware=firmware, verdict=verdict, is_ok=outcome is Outcome.OK,
        scenarios=shown, job=job, at=f"{at:%Y-%m-%d %H:%M} UTC",
    )  # fmt: skip
    return text.encode()


def _shown(end: ScenarioEnd, evidence: Mapping[str, bytes], history: str, left: int) -> Shown:
    pictures, texts = [], []
    for name in end.evidence:
        content = evidence.get(f"{end.folder}/{name}", b"")
        if content.startswith(_PNG) and len(content) * 4 // 3 < left:
            left -= len(content) * 4 // 3
            pictures.append((name, f"data:image/png;base64,{b64encode(content).decode()}"))
        elif name.endswith(".txt") and content:
            texts.append((name, harmless(content[-_TAIL:])))
    return Shown(end, history, pictures, texts)
