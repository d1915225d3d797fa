"""`distwright image compare`."""

from collections import Counter
from collections.abc import Iterator

import click

from distwright.app import App, open_app
from distwright.checks.image_delta import SECTIONS, Change, ImageDelta, Said, compare_images
from distwright.cli.options import json_option, print_json, print_table, say, state_option
from distwright.cli.watch import TerminalWatcher
from distwright.errors import WorkFailed, quoted
from distwright.model.outcomes import Outcome
from distwright.site.image_facts import NamedImage, facts_of_image, image_named, order_of_contents
from distwright.site.views import job_detail

_LISTED = 200  # rows of one section; --json has all
_WIDTH = 400


@click.command("compare")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@state_option
@json_option
def compare(first: str, second: str, state: str | None, as_json: bool) -> None:
    """List what changed from A to B: packages, sizes, privileges, users, services, files, boot records, seconds to start.

    Each is the name of a built image, of its folder or ISO, or of an [image.NAME], which means its newest. An image is read once.
    Exit codes: 0 the same bytes, 1 they differ, 10 no such image, or it is no longer kept.
    """
    app = open_app(state)
    images = image_named(app.database, first), image_named(app.database, second)
    _have_read(app, *images)
    before, after = (facts_of_image(app.database, app.objects, one) for one in images)
    delta = compare_images(before, after)
    if as_json:
        print_json({"first": before.name, "second": after.name, **delta.to_json()})
    else:
        _print(before.name, after.name, delta)
    if not delta.is_same:
        raise click.exceptions.Exit(1)


def _have_read(app: App, *images: NamedImage) -> None:
    """Have the images read that were not read yet; raise WorkFailed if one cannot be."""
    orders = [order for one in images if (order := order_of_contents(app.database, app.objects, one)) is not None]
    if not orders:
        return
    app.tell = say
    jobs = [app.place(order, app.applied()[1]) for order in orders]
    app.run_until_done(TerminalWatcher(app.paths.job_log, follow=False), jobs)
    for job in jobs:
        ended = job_detail(app.database, app.paths, job.id).job
        if ended.outcome is not Outcome.OK:
            raise WorkFailed(f"{ended.title}: {ended.message}", hint=f"distwright job log {job.id}")


def _print(first: str, second: str, delta: ImageDelta) -> None:
    click.echo(f"A: {first}\nB: {second}")
    rows = [[change.section, *_row(change)] for change in _one_by_one(delta)]
    rows += [["file", *row] for row in _counted(delta)]
    rows += [["measured", what, *(_shown(one, "not known") for one in both)] for what, both in delta.measured.items()]
    print_table(("what", "which", "A", "B"), rows, empty="")
    for section, count in _left_out(delta).items():
        click.echo(f"… and {count} more of {section}: --json has all")
    if delta.is_same:
        click.echo("the same, byte for byte")
    elif not delta.changes:
        click.echo("what was compared is the same: they differ in times, packing or places only")


def _one_by_one(delta: ImageDelta) -> Iterator[Change]:
    counts: Counter[str] = Counter()
    for change in _alone(delta):
        counts[change.section] += 1
        if counts[change.section] <= _LISTED:
            yield change


def _left_out(delta: ImageDelta) -> dict[str, int]:
    counts = Counter(change.section for change in _alone(delta))
    return {section: counts[section] - _LISTED for section in SECTIONS if counts[section] > _LISTED}


def _alone(delta: ImageDelta) -> Iterator[Change]:
    """Leave out the files that changed with their package."""
    moved = delta.moved_packages
    yield from (one for one in delta.changes if one.section != "file" or one.package not in moved)


def _counted(delta: ImageDelta) -> list[list[str]]:
    """Give a row for each package that came, went or has another version: how many of its files did."""
    counts: dict[str, Counter[str]] = {}
    for change in delta.changes:
        if change.section == "file" and change.package in delta.moved_packages:
            word = "new" if change.first is None else "gone" if change.second is None else "changed"
            counts.setdefault(change.package, Counter())[word] += 1
    return [
        [f"of {package}", "", ", ".join(f"{count} {word}" for word, count in sorted(found.items()))]
        for package, found in sorted(counts.items())
    ]


def _row(change: Change) -> list[str]:
    first, second = change.first, change.second
    after = _shown(second, "-")
    if isinstance(first, int) and isinstance(second, int):
        after = f"{after} ({second - first:+,})"
    return [_clean(change.what), _shown(first, "-"), after]


def _shown(said: Said | None, absent: str) -> str:
    return absent if said is None else f"{said:,}" if isinstance(said, int) else _clean(said)


def _clean(text: str) -> str:
    return quoted(text, _WIDTH)[1:-1]
