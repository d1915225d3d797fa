"""apt of this machine: where it fetches from. Never used to decide what is in an archive."""

from dataclasses import dataclass

from distwright.tools.run import Command, run, run_checked

_FORMAT = "$(SITE)\t$(RELEASE)\t$(COMPONENT)\t$(ORIGIN)\t$(LABEL)"


@dataclass(frozen=True, slots=True)
class AptSource:
    """One suite and component that this machine's apt knows, with what its Release says."""

    url: str
    suite: str
    component: str
    origin: str
    label: str


def configured_sources() -> list[AptSource]:
    """List this machine's apt sources; origin and label are empty before the first `apt-get update`."""
    argv = ("apt-get", "indextargets", "--format", _FORMAT, "Created-By: Packages")
    rows = [line.split("\t") for line in run_checked(argv).decode(errors="replace").splitlines()]
    return [AptSource(*row) for row in dict.fromkeys(tuple(row) for row in rows if len(row) == 5)]


def configured_proxy() -> str | None:
    """Give the HTTP proxy that apt uses for everything, if any."""
    argv = ("apt-config", "shell", "proxy", "Acquire::http::Proxy")
    text = run(Command(argv, timeout_s=30)).stdout.decode(errors="replace").strip()
    value = text.partition("=")[2].strip("'")
    return value if value and value != "DIRECT" else None
