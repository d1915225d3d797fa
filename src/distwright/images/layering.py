"""The layer itself: what is different of one replay and another, and why it may not stand for a full build; pure."""

from collections.abc import Collection, Iterator, Mapping, Set
from dataclasses import dataclass

from distwright.formats.tarstates import PathState, States

LayerStates = Mapping[str, PathState | None]

# Backups that dpkg and debconf write before they write: what they say is how often that was, not what is installed.
BACKUPS = frozenset(
    {
        "var/lib/dpkg/status-old", "var/lib/dpkg/available-old", "var/lib/dpkg/diversions-old", "var/lib/dpkg/statoverride-old",
        "var/cache/debconf/config.dat-old", "var/cache/debconf/passwords.dat-old", "var/cache/debconf/templates.dat-old",
    }
)  # fmt: skip
# It has the image's name, so it is another one each time, and mkinitramfs does not read it.
_NOT_READ = frozenset({"usr/lib/os-release"})
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay left (images/replay.py). touched: paths; before, after: states of those that there were, and are.

    linked: paths of files that have several names. initrd: what the initrd would be made from, by path.
    """

    touched: Set[str]
    before: States
    after: States
    linked: Set[str]
    initrd: Set[str]


def parse_names(listing: bytes) -> frozenset[str]:
    """Read names by NUL, as perl prints them; without `./` before them, "" for the root."""
    names = (name.decode("utf-8", "surrogateescape") for name in listing.split(b"\0") if name)
    return frozenset("" if name == "." else name.removeprefix("./") for name in names)


def layer_states(base: Replay, new: Replay) -> dict[str, PathState | None]:
    """Give what a layer over the base must have, so that both together are the new image: path -> state, None for what is gone.

    Folders above what it has are in it too, for the topmost layer says what a folder is like. Of a folder that is gone, nothing
    below is named.
    """
    found: dict[str, PathState | None] = {}
    for path in sorted((base.touched | new.touched) - BACKUPS):
        was, now = _state(path, base, new), _state(path, new, base)
        if was == now or (now is None and not _is_folder_of(path, new, base)):
            continue
        found[path] = now
        for above in _above(path):
            if (state := _state(above, new, base)) is not None:
                found.setdefault(above, state)
    return found


def _state(path: str, one: Replay, other: Replay) -> PathState | None:
    """Say what is at a path after one replay; where that did not touch it, it is as the other found it."""
    return one.after.get(path) if path in one.touched else other.before.get(path)


def _is_folder_of(path: str, one: Replay, other: Replay) -> bool:
    above = _state(path.rpartition("/")[0], one, other)
    return above is not None and above.is_folder


def _above(path: str) -> Iterator[str]:
    while path:
        path = path.rpartition("/")[0]
        yield path


def objections(base: Replay, new: Replay, layer: LayerStates) -> list[str]:
    """Say why a layer may not stand for a full build, by what two replays have shown; nothing if it may.

    A file with several names loses all but one when it is changed in an overlay. An initrd is the base's.
    """
    found = [f"{_named(linked)}: a file with several names" for linked in (base.linked | new.linked,) if linked]
    if others := base.initrd ^ new.initrd:
        found.append(f"{_named(others)}: the initrd would be made from other files")
    read = {
        path for path in layer if path in new.initrd and path not in _NOT_READ and not _is_same_folder(path, base, new)
    }
    if read:
        found.append(f"{_named(read)}: the initrd is made from it")
    return found


def _is_same_folder(path: str, base: Replay, new: Replay) -> bool:
    was, now = _state(path, base, new), _state(path, new, base)
    return was is not None and now is not None and was.is_folder and now.is_folder and was.access == now.access


def _named(paths: Collection[str]) -> str:
    some = sorted(paths)[:_MOST_NAMED]
    more = len(paths) - len(some)
    return ", ".join(f"/{path}" for path in some) + (f" and {more} more" if more else "")
