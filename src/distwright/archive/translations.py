"""Long descriptions: Packages has the synopsis and a hash, Translation-en the text, in a list that follows the packages."""

from collections.abc import Iterator, Mapping, Sequence

from distwright.archive.editing import Edits, StanzaReader
from distwright.archive.indexes import I18N, UDEBS
from distwright.archive.tree import Get, Stanzas, TreeRoot
from distwright.formats.deb822 import raw_field

Offered = Mapping[str, Mapping[str, Sequence[bytes]]]  # component -> package -> paragraphs for Translation-en


def with_translations(root: TreeRoot, edits: Edits, offered: Offered, get: Get) -> Edits:
    """Add to edits what they mean for translations: each stays exactly while a package of its name refers to it."""
    complete = dict(edits)
    for component in sorted({_component(name) for name in edits if _has_translations(name)}):
        names = sorted({lname for name in edits if _is_of(name, component) for lname in edits[name]})
        lists = sorted({name for name in (*root.lists, *edits) if _is_of(name, component)})
        complete[f"{component}/{I18N}"] = _Followed(root, edits, offered.get(component, {}), lists, names, get)
    return complete


class _Followed(Mapping[str, Stanzas]):
    """The translations of each edited name after the edit; looked up when asked for, so that an import needs little memory."""

    def __init__(
        self,
        root: TreeRoot,
        edits: Edits,
        offered: Mapping[str, Sequence[bytes]],
        lists: Sequence[str],
        names: Sequence[str],
        get: Get,
    ) -> None:
        self._edits = edits
        self._offered = offered
        self._lists = lists
        self._names = names
        self._list_name = f"{_component(lists[0])}/{I18N}"
        self._reader = StanzaReader(root, get)

    def __getitem__(self, name: str) -> Stanzas:
        wanted: set[bytes | None] = set()
        for list_name in self._lists:
            edited = self._edits.get(list_name, {})
            stanzas = edited[name] if name in edited else self._reader.find(list_name, name)
            wanted |= {raw_field(stanza, b"Description-md5") for stanza in stanzas}
        known = (*self._reader.find(self._list_name, name), *self._offered.get(name, ()))
        return tuple(dict.fromkeys(text for text in known if raw_field(text, b"Description-md5") in wanted))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _has_translations(list_name: str) -> bool:
    component, _, kind = list_name.rpartition("/")
    return kind.startswith("binary-") and not component.endswith(f"/{UDEBS}")


def _is_of(list_name: str, component: str) -> bool:
    return _has_translations(list_name) and _component(list_name) == component


def _component(list_name: str) -> str:
    return list_name.rpartition("/")[0]
