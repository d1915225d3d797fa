"""Take the state of a suite of ours from what another installation has published of it: for whoever builds as that one does.

A revision follows from the content alone (docs/design/0001), and an index is the text of its leaves. So the published indexes,
verified by their signature, give the same revision, and what is built from it has the same keys. What they do not show is removals
that must survive a merge (tombstones): a suite that has some gets another revision with the same packages.
"""

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from distwright.archive.changing import TAKEN, SuiteChange, move
from distwright.archive.gathering import gather
from distwright.archive.indexes import ALL, I18N, index_files, pool_of
from distwright.archive.inrelease import fetch_inrelease
from distwright.archive.tree import EMPTY_ROOT, Leaf, TreeRoot, cut_into_leaves
from distwright.archive.unrecorded import index_urls
from distwright.errors import BadInput, DistwrightError, Refused, quoted
from distwright.formats.compression import decompress, split_ending
from distwright.formats.deb822 import raw_field
from distwright.formats.release import IndexEntry, Release, parse_release
from distwright.jobs.step import Context
from distwright.model.digests import Sha256, sha256_of
from distwright.model.records import SuiteState
from distwright.signing.verify import Keyring
from distwright.store.suites import list_revisions

_LIST = re.compile(r"(?:.+/)?(?:Packages|Sources|Translation-[^./]+)")
_ENDINGS = (".xz", ".gz", "")
_PLAIN_LIMIT_BYTES = 2 << 30
_AGAIN = "run the same command again; if it stays so, tell those who publish it"


@dataclass(frozen=True, slots=True)
class TakenSuite:
    """What became of a suite. is_new: it was another one before. date: of its Release. fetched: how many files came."""

    suite: str
    revision: Sha256
    is_new: bool
    date: datetime
    fetched: int


def take_suite(context: Context, before: SuiteState, url: str, keyring: Keyring) -> TakenSuite:
    """Make a suite what is published of it below `url` now, with all its packages; the same again changes nothing.

    keyring: whose signature counts. Raises Refused (signature, expiry, another suite, bytes that are not what was signed; packages
    of our own that are in the suite), Unreachable, NotFound.
    """
    name = f"{before.archive}/{before.name}"
    _refuse_ours(context, before)
    signed = fetch_inrelease(f"{url}/dists/{before.name}/InRelease", None, context)
    release = parse_release(keyring.verify_clear(signed, f"InRelease of {name}").content)
    _check(release, before, context.now())
    texts = _fetch_indexes(context, url, before.name, release)
    root = tree_of_indexes(texts, context)
    fetched = gather(pool_of(root, context.objects.read), [url], context, f"take {name}")
    revision = context.objects.put(root.to_bytes())
    if revision != before.revision:
        context.objects.put(EMPTY_ROOT.to_bytes())
        pool = [(file.path, file.sha256) for file in pool_of(root, context.objects.read)]
        with context.write() as tx:
            move(
                tx,
                before,
                revision,
                SuiteChange(TAKEN, f"as published on {url}", "distwright archive take"),
                context,
                pool,
            )
    return TakenSuite(name, revision, revision != before.revision, release.date, fetched)


def tree_of_indexes(texts: Mapping[str, bytes], context: Context) -> TreeRoot:
    """Cut published indexes (path -> text) into the tree that they were joined from; its leaves become objects.

    Raises Refused if they come from no such tree: joined again, it must give the same texts.
    """
    lists: dict[str, list[tuple[str, bytes]]] = {}
    for path, text in sorted(texts.items()):
        parts: dict[str, list[tuple[str, bytes]]] = {}
        for stanza in _stanzas(text):
            name = (raw_field(stanza, b"Package") or b"").decode(errors="replace")
            parts.setdefault(_list_of(path, stanza), []).append((name, stanza))
        for list_name, members in parts.items():
            if lists.setdefault(list_name, members) != members:
                raise _other(f"{list_name} is not the same for every architecture")
    leaves: dict[str, tuple[Leaf, ...]] = {}
    with context.objects.staging() as put:
        for list_name, members in lists.items():
            groups = [
                (name, tuple(stanza for _, stanza in same)) for name, same in groupby(members, key=lambda one: one[0])
            ]
            leaves[list_name] = tuple(cut_into_leaves(groups, put))
    root = TreeRoot(leaves)
    joined = index_files(root, context.objects.read, [path.rpartition("/")[0] for path in texts if not _is_i18n(path)])
    wrong = sorted(path for path, text in texts.items() if joined.get(path, b"") != text)
    if wrong:
        raise _other(f"{', '.join(wrong)} cannot be joined from its packages")
    return root


def _stanzas(text: bytes) -> Iterator[bytes]:
    for part in text.split(b"\n\n"):
        if part.strip(b"\n"):
            yield part.strip(b"\n") + b"\n"


def _list_of(path: str, stanza: bytes) -> str:
    """Say which list of the tree a stanza of an index belongs to: archive/indexes.py joins them."""
    folder, _, file = path.rpartition("/")
    if _is_i18n(path):
        language = file.removeprefix("Translation-")
        return folder if language == "en" else f"{folder}-{language}"
    if file == "Packages" and raw_field(stanza, b"Architecture") == b"all":
        return f"{folder.rpartition('/')[0]}/{ALL}"
    return folder


def _is_i18n(path: str) -> bool:
    return path.rpartition("/")[0].endswith(f"/{I18N}")


def _fetch_indexes(context: Context, url: str, suite: str, release: Release) -> dict[str, bytes]:
    chosen: dict[str, IndexEntry] = {}
    for path, entry in release.indexes.items():
        stem, ending = split_ending(path)
        if _LIST.fullmatch(stem) and ending in _ENDINGS and (stem not in chosen or _rank(entry) < _rank(chosen[stem])):
            chosen[stem] = entry

    def fetch(entry: IndexEntry) -> bytes:
        return _fetch_index(context, url, suite, entry, by_hash=release.acquire_by_hash)

    with ThreadPoolExecutor(max_workers=4) as pool:
        return dict(zip(chosen, pool.map(fetch, chosen.values()), strict=True))


def _rank(entry: IndexEntry) -> int:
    return _ENDINGS.index(split_ending(entry.path)[1])


def _fetch_index(context: Context, url: str, suite: str, entry: IndexEntry, *, by_hash: bool) -> bytes:
    """Fetch an index by its hash, or by its path; give it unpacked."""
    failure: DistwrightError | None = None
    for address in index_urls(url, suite, entry.path, entry.sha256, by_hash=by_hash):
        try:
            page = context.fetcher.fetch_page(address, limit_bytes=entry.size + 1)
        except DistwrightError as error:
            failure = error
            continue
        content = b"" if page is None else page.content
        if sha256_of(content) == entry.sha256:
            return decompress(content, split_ending(entry.path)[1], limit_bytes=_PLAIN_LIMIT_BYTES)
        failure = Refused(f"{quoted(address)} is not what InRelease says", hint=_AGAIN)
    raise failure or Refused(f"{entry.path} of {suite} is nowhere", hint=_AGAIN)


def _check(release: Release, row: SuiteState, now: datetime) -> None:
    name = f"{row.archive}/{row.name}"
    if release.suite != row.name:
        raise Refused(f"what is published as {name} says that it is {quoted(release.suite or 'nothing')}", hint=_AGAIN)
    if release.valid_until is not None and release.valid_until < now:
        raise Refused(
            f"what is published of {name} was to be trusted until {release.valid_until:%Y-%m-%d %H:%M}",
            hint="tell those who publish it that it must be signed again",
        )


def _refuse_ours(context: Context, row: SuiteState) -> None:
    """Take nothing over what came into the suite here: this is for a state that follows another one."""
    with context.database.read() as tx:
        steps = list_revisions(tx, row.archive, row.name, limit=1)
    if steps and steps[0].action != TAKEN:
        raise Refused(
            f"suite {row.archive}/{row.name} has changes of its own here (the last: {steps[0].action})",
            hint="use a state of its own for it: distwright config init FOLDER --state DIR",
        )


def _other(what: str) -> BadInput:
    return BadInput(f"{what}: this was not published by distwright", hint="distwright archive import takes any archive")
