"""Which images stay and which go: a pure decision about what is kept of one branch of an image, within a budget."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from distwright.model.digests import Sha256

_SHOWN = 3


class Colour(StrEnum):
    """How an image is: everything that looked at it was content, something was not, or nothing has said so."""

    GREEN = "green"
    RED = "red"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class KeptImage:
    """A build of an image with all that belongs to it: its files, what tests left, what was read of it, logs.

    name: of the image, or `job 12` for a build that gave none. jobs: its build and all that looked at it. objects: what is held for
    it, with sizes in bytes. files: how many more files of the disk it takes (public folders, logs), log_bytes: what the logs take.
    stages: what else its steps gave, which only makes the next build quicker. public: names of folders below images/. needed: who
    else needs it, and why. is_begun: dropping it was begun, nobody sees it any more. ends: of an upgrade kit, which is one too, of
    the branch that it leads to: the names of the image that it starts from and of the one that it leads to.
    """

    name: str
    image: str
    branch: str
    jobs: tuple[int, ...]
    at: datetime
    colour: Colour
    objects: Mapping[Sha256, int]
    files: int
    log_bytes: int = 0
    stages: Mapping[Sha256, int] = field(default_factory=dict)
    public: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    is_begun: bool = False
    ends: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Budget:
    """How much the images of a branch may take: bytes, and files of the disk (inodes). None: as much as there are."""

    size_bytes: int | None = None
    files: int | None = None


@dataclass(frozen=True, slots=True)
class JudgedImage:
    """An image, whether it stays, and why. keeps_stages: whether what else its steps gave stays too.

    frees_bytes: what goes that nothing of its branch has which stays.
    """

    row: KeptImage
    stays: bool
    why: str
    keeps_stages: bool = True
    frees_bytes: int = 0


def judge_images(rows: Iterable[KeptImage], budgets: Mapping[str, Budget]) -> list[JudgedImage]:
    """Judge all images, branch by branch, newest first. budgets: by table; one that has none loses nothing.

    A kit goes with the image that it starts from, and with the one that it leads to, whatever the budget.
    """
    branches: dict[tuple[str, str], list[KeptImage]] = {}
    for row in rows:
        branches.setdefault((row.image, row.branch), []).append(row)
    judged = [
        one
        for (image, _), members in sorted(branches.items())
        for one in judge_branch(members, budgets.get(image, Budget()))
    ]
    there = {one.row.name for one in judged if one.stays and not one.row.ends}
    kept = [one.row for one in judged if one.stays]
    return [_with_its_ends(one, there, kept) for one in judged]


def _with_its_ends(one: JudgedImage, there: Set[str], kept: Iterable[KeptImage]) -> JudgedImage:
    """Let a kit go of which an end goes. there: the images that stay. kept: all that stays, but for such kits."""
    lost = [end for end in one.row.ends if end not in there]
    if not lost or one.row.needed:
        return one
    frees = freed_by(one.row, (row for row in kept if row is not one.row))
    return JudgedImage(one.row, stays=False, why=f"with {lost[0]}", keeps_stages=False, frees_bytes=frees)


def judge_branch(rows: Sequence[KeptImage], budget: Budget) -> list[JudgedImage]:
    """Judge the images of one branch; give them newest first.

    What somebody needs stays, and so do the newest, the last green and the last red one, and the newest kit from each image,
    whatever they take. Of the others the newest stay, as many as there is room for beside those; from the first one on that does
    not fit, all go. Where there is a budget, only the newest that was built keeps its stages; they are not counted.
    """
    ordered = sorted(rows, key=lambda row: (row.at, max(row.jobs)), reverse=True)
    reasons = dict(_protected(ordered))
    kept, is_full = _Kept(), False
    for row in ordered:
        if row.jobs in reasons:
            kept.add(row)
    fates: list[tuple[bool, str]] = []
    for row in ordered:
        if row.jobs in reasons:
            fates.append((True, reasons[row.jobs]))
        elif row.is_begun:
            fates.append((False, "dropping it was begun"))
        elif is_full := is_full or not kept.has_room(row, budget):
            fates.append((False, f"beyond {_shown(budget)} of {row.image}, {row.branch}"))
        else:
            kept.add(row)
            fates.append((True, _room(budget)))
    newest = _newest(ordered)
    with_stages = [
        stays and (row is newest or budget == Budget()) for row, (stays, _) in zip(ordered, fates, strict=True)
    ]
    held = kept.objects.union(*(row.stages for row, keeps in zip(ordered, with_stages, strict=True) if keeps))
    return [
        JudgedImage(row, stays, why, keeps, _freed(row, held, goes=not stays, its_stages=not keeps))
        for row, (stays, why), keeps in zip(ordered, fates, with_stages, strict=True)
    ]


def _freed(row: KeptImage, held: Set[Sha256], *, goes: bool = True, its_stages: bool = True) -> int:
    objects = {**(row.stages if its_stages else {}), **(row.objects if goes else {})}
    return sum(size for digest, size in objects.items() if digest not in held) + (row.log_bytes if goes else 0)


def freed_by(row: KeptImage, others: Iterable[KeptImage]) -> int:
    """Say how many bytes an image alone has, of its branch or not; with its stages. others: those that there are beside it."""
    return _freed(row, {digest for other in others for digest in (*other.objects, *other.stages)})


@dataclass(slots=True)
class _Kept:
    """What stays so far. What several images have counts once."""

    objects: set[Sha256] = field(default_factory=set)
    size_bytes: int = 0
    files: int = 0

    def alone(self, row: KeptImage) -> int:
        """Say how many bytes an image has that nothing which stays has."""
        return row.log_bytes + sum(size for digest, size in row.objects.items() if digest not in self.objects)

    def add(self, row: KeptImage) -> None:
        self.size_bytes += self.alone(row)
        self.files += row.files + len(row.objects.keys() - self.objects)
        self.objects |= row.objects.keys()

    def has_room(self, row: KeptImage, budget: Budget) -> bool:
        size_bytes = self.size_bytes + self.alone(row)
        files = self.files + row.files + len(row.objects.keys() - self.objects)
        return (budget.size_bytes is None or size_bytes <= budget.size_bytes) and (
            budget.files is None or files <= budget.files
        )


def _protected(rows: Sequence[KeptImage]) -> Iterator[tuple[tuple[int, ...], str]]:
    """Say which images stay whatever they take, and why. rows: newest first."""
    whole = [row for row in rows if not row.is_begun]
    firsts = {
        "the newest": _newest(whole),
        "the last green one": next((row for row in whole if row.colour is Colour.GREEN), None),
        "the last red one": next((row for row in whole if row.colour is Colour.RED), None),
    }
    kits: dict[str, KeptImage] = {}
    for row in rows:
        if row.ends and row.public:
            kits.setdefault(row.ends[0], row)
    firsts |= {f"the newest kit from {name}": kit for name, kit in kits.items()}
    for row in rows:
        whys = [why for why, first in firsts.items() if first is row]
        if row.needed:
            more = f" and {len(row.needed) - _SHOWN} more" if len(row.needed) > _SHOWN else ""
            whys.append(f"needed by {', '.join(row.needed[:_SHOWN])}{more}")
        if whys:
            yield row.jobs, ", ".join(whys)


def _newest(rows: Iterable[KeptImage]) -> KeptImage | None:
    """Give the newest that was built and is not on its way out. rows: newest first."""
    return next((row for row in rows if row.public and not row.is_begun and not row.ends), None)


def used_by(rows: Iterable[KeptImage]) -> tuple[int, int]:
    """Say how many bytes and files of the disk images take together."""
    kept = _Kept()
    for row in rows:
        kept.add(row)
    return kept.size_bytes, kept.files


def _room(budget: Budget) -> str:
    if budget == Budget():
        return "nothing says how much is kept: set keep_mb or keep_files"
    return f"within {_shown(budget)}"


def _shown(budget: Budget) -> str:
    parts = [] if budget.size_bytes is None else [f"{budget.size_bytes >> 20:,} MiB"]
    return " and ".join([*parts, *([] if budget.files is None else [f"{budget.files:,} files"])])
