"""Ask an upstream for its InRelease: one request, and no body if it is what we know."""

import json
from pathlib import Path

from distwright.errors import BadInput
from distwright.jobs.step import Context
from distwright.model import plain
from distwright.model.digests import Sha256, canonical_json, digest_of
from distwright.net.fetcher import NO_VALIDATORS, Validators

INRELEASE_LIMIT_BYTES = 16 << 20


def fetch_inrelease(url: str, known: Sha256 | None, context: Context) -> bytes:
    """Give the present InRelease; the one of the last record (`known`) is read from its object if the server says it still is that.

    What the server said to know it by lies in the cache: if that is gone, the whole file comes, which is one request too.
    """
    place = context.paths.cache / "validators" / digest_of(url)
    is_here = known is not None and context.objects.has(known)
    asked = _remembered(place, known) if known is not None and is_here else NO_VALIDATORS
    page = context.fetcher.fetch_page(url, limit_bytes=INRELEASE_LIMIT_BYTES, known=asked)
    if page is None:
        assert known is not None  # noqa: S101  # nothing was asked with otherwise
        return context.objects.read(known)
    digest = context.objects.put(page.content)
    if page.validators != NO_VALIDATORS and (digest != known or page.validators != asked):
        _remember(place, digest, page.validators)
    return page.content


def _remembered(place: Path, known: Sha256) -> Validators:
    try:
        values = json.loads(place.read_bytes())
        if plain.text(values, "digest") == known:
            return Validators(plain.text(values, "etag"), plain.text(values, "modified"))
    except (FileNotFoundError, ValueError, BadInput):  # not there, or half written by a power cut
        return NO_VALIDATORS
    return NO_VALIDATORS


def _remember(place: Path, digest: Sha256, validators: Validators) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_suffix(".new")
    partial.write_bytes(canonical_json({"digest": digest, "etag": validators.etag, "modified": validators.modified}))
    partial.rename(place)
