"""Let clients trust a served snapshot of ours for longer: published again, with a later Valid-Until."""

import json
from dataclasses import replace
from datetime import datetime, timedelta

from distwright.archive.own_snapshots import parse_own_snapshot
from distwright.archive.prolonging import refuse_shorter
from distwright.archive.publish import publish
from distwright.archive.resolve import publish_request
from distwright.config.tables_archive import OwnArchive
from distwright.errors import NotFound, Refused
from distwright.formats.release import Release, parse_release
from distwright.jobs.step import Context
from distwright.model.digests import Sha256
from distwright.model.records import Publication, SuiteState
from distwright.store.archives import find_snapshot, list_publications
from distwright.store.signed import set_valid_until


def prolong_own(context: Context, archive: str, serial: str, days: int) -> datetime:
    """Sign a served snapshot of ours anew, valid for so many days from now; give the end.

    Suites without an end stay. Raises NotFound, and Refused if it is not served, never ends, or ends later anyway.
    """
    table = context.config.archives.get(archive)
    if not isinstance(table, OwnArchive):
        raise NotFound(f"archive {archive} is not our own", hint="distwright archive list")
    until = context.now().replace(microsecond=0) + timedelta(days=days)
    with context.database.read() as tx:
        row = find_snapshot(tx, archive, serial)
        live = [found for found in list_publications(tx, archive=archive, state="live") if found.serial == serial]
    if row is None:
        raise NotFound(f"archive {archive} has no snapshot {serial}", hint=f"distwright snapshot list {archive}")
    if not live:
        raise Refused(
            f"snapshot {serial} of {archive} is not served", hint=f"distwright snapshot publish {archive} {serial}"
        )
    ends = {found.suite: _release(found, context).valid_until for found in live}
    end = min((end for end in ends.values() if end is not None), default=None)
    refuse_shorter(replace(row, valid_until=end), until)
    signer = context.signer(table.key.credential)
    for name, (revision, settings) in parse_own_snapshot(context.objects.read(row.digest)).suites.items():
        if ends.get(name) is not None:
            state = SuiteState(archive, name, "", revision, row.taken_at, follows=settings)
            request = publish_request(context.config, state, serial=serial, again=True)
            fields = {**request.fields, "Valid-Days": str(days)}
            publish(replace(request, fields=fields), context, signer)
    with context.write() as tx:
        set_valid_until(tx, archive, serial, until)
    return until


def _release(live: Publication, context: Context) -> Release:
    return parse_release(context.objects.read(Sha256(json.loads(context.objects.read(live.tree))["files"]["Release"])))
