"""How far recorded serials reach: which of them have the versions of packages that a build of somebody else had."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from distwright.archive.snapshots import RecordedSuite
from distwright.archive.stanzas import recorded_stanzas
from distwright.formats.deb822 import raw_field
from distwright.model.digests import Sha256
from distwright.model.versions import DebVersion
from distwright.store.objects import ObjectStore

Versions = Mapping[str, tuple[str, ...]]
"""Name -> the versions that a state has of it, of those names that were asked for."""


@dataclass(frozen=True, slots=True)
class State:
    """A recorded suite at a serial. document: of the snapshot."""

    archive: str
    serial: str
    suite: RecordedSuite
    document: Sha256

    @property
    def name(self) -> str:
        """How configuration calls the suite."""
        return f"{self.archive}/{self.suite.name}"

    @property
    def at(self) -> str:
        """How people call the state."""
        return f"{self.name} at {self.serial}"


@dataclass(frozen=True, slots=True)
class Absent:
    """A version that no state has. nearest: the version next to it that one has, "" if none has the package; at: that state."""

    package: str
    version: str
    nearest: str
    at: str

    def in_words(self) -> str:
        """Put it into a sentence."""
        near = f"; {self.at} has {self.nearest}" if self.nearest else "; none has the package"
        return f"no recorded serial has {self.package} {self.version}{near}"


@dataclass(frozen=True, slots=True)
class Reach:
    """Which states have the versions, as few states as that takes. pins: package -> version, of those that some state has.

    shares: how many of the versions come from each of `states`.
    """

    states: tuple[State, ...]
    shares: tuple[int, ...]
    pins: tuple[tuple[str, str], ...]
    absent: tuple[Absent, ...]

    def in_words(self) -> list[str]:
        """Say it for people, what is missing last."""
        wanted = len(self.pins) + len(self.absent)
        lines = [f"recorded serials have {len(self.pins)} of the {wanted} packages of its environment"]
        lines += [f"  {share} from {state.at}" for state, share in zip(self.states, self.shares, strict=True) if share]
        return lines + [f"  {one.in_words()}" for one in self.absent]


def reach(wanted: Mapping[str, DebVersion], offers: Sequence[tuple[State, Versions]]) -> Reach:
    """Choose states until no other has a version that is still missing: each time the one that has most of them, then the newest.

    offers: the newest state first; the first suite that they name is always among the chosen, for an environment begins with it.
    """
    missing = {name: str(version) for name, version in wanted.items()}
    first = offers[0][0].name if offers else ""
    chosen: list[State] = []
    shares: list[int] = []
    while True:
        # What the environment begins with comes first, whatever others have.
        able = [offer for offer in offers if chosen or offer[0].name == first]
        found = [(state, _had(missing, versions)) for state, versions in able if state not in chosen]
        best = max(found, key=lambda offer: len(offer[1]), default=None)
        if best is None or (chosen and not best[1]):
            break
        chosen.append(best[0])
        shares.append(len(best[1]))
        for name in best[1]:
            del missing[name]
    pins = tuple((name, str(version)) for name, version in sorted(wanted.items()) if name not in missing)
    absent = tuple(_absent(name, missing[name], offers) for name in sorted(missing))
    return Reach(tuple(chosen), tuple(shares), pins, absent)


def versions_at(
    objects: ObjectStore, state: State, names: Iterable[str], components: Sequence[str], architecture: str
) -> Versions:
    """Read which versions a state has of some packages."""
    wanted = {name.encode() for name in names}
    found: dict[str, list[str]] = {}
    lists = {f"{component}/binary-{kind}" for component in components for kind in (architecture, "all")}
    for _, raw in recorded_stanzas(state.suite, objects, lists.__contains__):
        name = raw_field(raw, b"Package")
        if name in wanted:
            version = (raw_field(raw, b"Version") or b"").decode(errors="replace")
            versions = found.setdefault(name.decode(), [])
            if version not in versions:
                versions.append(version)
    return {name: tuple(versions) for name, versions in found.items()}


def _had(missing: Mapping[str, str], versions: Versions) -> list[str]:
    return [name for name, version in missing.items() if version in versions.get(name, ())]


def _absent(name: str, version: str, offers: Sequence[tuple[State, Versions]]) -> Absent:
    """Find what comes nearest: the lowest version above, or else the highest one below."""
    wanted = DebVersion(version).sort_key()
    known = [
        (DebVersion(one).sort_key(), one, state.at) for state, versions in offers for one in versions.get(name, ())
    ]
    above = min((row for row in known if row[0] > wanted), key=itemgetter(0), default=None)
    near = above or max(known, key=itemgetter(0), default=None)  # of several states the first, which is the newest
    return Absent(name, version, near[1] if near else "", near[2] if near else "")
