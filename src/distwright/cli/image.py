"""`distwright image`."""

from functools import partial

import click

from distwright.app import open_app
from distwright.cli.image_compare import compare
from distwright.cli.image_import import import_image
from distwright.cli.image_keep import KEEPING
from distwright.cli.image_kit import apply_to_image, make_kit, print_key
from distwright.cli.image_layer import build_layer
from distwright.cli.image_rebuild import rebuild
from distwright.cli.image_rehearse import rehearse
from distwright.cli.image_verify import verify
from distwright.cli.options import finish_jobs, json_option, print_rows, say, state_option
from distwright.cli.watch import TerminalWatcher
from distwright.errors import BadUsage
from distwright.images.boot import KIND as BOOT_KIND
from distwright.images.branch_sources import Subject
from distwright.images.resolve import image_order
from distwright.images.scenarios import WORKERS_LIMIT, Chosen
from distwright.site.image_rows import image_rows

FIRMWARES = ("bios", "uefi", "secure-boot")


@click.group()
def command() -> None:
    """Live images."""


@command.command()
@click.argument("name")
@click.option("--branch", metavar="B", help="Of this branch. [default: the default branch of its repo]")
@click.option("--tag", metavar="T", help="Of this tag, which is the version of its changelog.")
@click.option("--layer", is_flag=True, help="As a layer on an image that there is, if only own packages changed.")
@state_option
@click.option("--follow", is_flag=True, help="Print the logs.")
@json_option
def build(
    name: str, branch: str | None, tag: str | None, layer: bool, state: str | None, follow: bool, as_json: bool
) -> None:
    """Build an image from the newest commit of a branch, or from a tag, and boot it.

    With --layer, what was pushed is built and published first. Then, where only packages of our own changed since an image was
    built in full, only what they change is made; else it says why not, and the image is built in full.

    Exit codes: 0 built, 1 it does not build, 10 no such image, 11 something it needs is not there yet.
    """
    if len([one for one in (branch, tag, layer) if one]) > 1:
        raise BadUsage("--branch, --tag and --layer are three different images", hint="give one of them")
    app = open_app(state)
    app.tell = say
    watcher = TerminalWatcher(app.paths.job_log, follow=follow)
    subject = Subject(branch or "", tag or "") if branch or tag else None
    order = partial(image_order, subject=subject)
    ordered = build_layer(app, name, watcher) if layer else app.order_image(name, order)
    app.run_until_done(watcher, [ordered], follow=(BOOT_KIND.name,))
    finish_jobs(app, [ordered], as_json=as_json)


@command.command()
@click.argument("name")
@click.option(
    "--feature", "features", multiple=True, metavar="F", help="Only scenarios of this feature; may be given again."
)
@click.option("--scenario", "scenarios", multiple=True, metavar="S", help="Only this scenario; may be given again.")
@click.option("--firmware", "firmwares", multiple=True, type=click.Choice(FIRMWARES), help="Only with this firmware.")
@click.option(
    "--workers", default=1, type=click.IntRange(1, WORKERS_LIMIT), help="Machines at a time, of 2 GB each. [default: 1]"
)
@click.option(
    "--upgrade-from", default="", metavar="OLD", help="Also run what is tagged @upgrade, by the kit from image OLD."
)
@state_option
@click.option("--follow", is_flag=True, help="Print the logs.")
@json_option
def test(
    name: str, features: tuple[str, ...], scenarios: tuple[str, ...], firmwares: tuple[str, ...], workers: int, upgrade_from: str,
    state: str | None, follow: bool, as_json: bool,
) -> None:  # fmt: skip
    """Test the image of the default branch that was built last by its features, in machines that start from a saved one.

    Exit codes: 0 it has passed, 1 scenarios failed, 10 no such image, or it has no features, 11 something is not there yet.
    """
    app = open_app(state)
    app.tell = say
    asked = f"{app.now():%Y-%m-%dT%H:%M:%SZ}"
    chosen = Chosen(firmwares, features, scenarios, workers, asked, upgrade_from)
    ordered = app.order_image_tests(name, chosen)
    app.run_until_done(TerminalWatcher(app.paths.job_log, follow=follow), ordered)
    finish_jobs(app, ordered, as_json=as_json)


@command.command("list")
@state_option
@json_option
def list_images(state: str | None, as_json: bool) -> None:
    """List the images that were built and are kept, newest first, by their full names, with their upgrade kits.

    It says whether they came out the same again. The files of each are in public/images/NAME of the state, and at /images/NAME/.
    """
    app = open_app(state)
    print_rows(
        image_rows(app.command_context()),
        ("name", "built", "built again", "layer on", "upgrades"),
        as_json=as_json,
        empty="no image was built yet",
    )


for verb in (compare, import_image, *KEEPING, make_kit, apply_to_image, print_key, rebuild, rehearse, verify):
    command.add_command(verb)
