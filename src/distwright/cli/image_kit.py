"""`distwright image kit`, `distwright image apply-kit` and `distwright image key`."""

import contextlib
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click

from distwright.app import open_app
from distwright.cli.options import finish_jobs, json_option, print_json, say, state_option
from distwright.cli.watch import TerminalWatcher
from distwright.errors import NotFound
from distwright.images.devices import apply_kit
from distwright.images.kit_descriptions import FILE
from distwright.images.kit_verifying import verified_copy
from distwright.images.upgrades import IMAGE_CREDENTIAL
from distwright.signing.verify import Keyring

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command("kit")
@click.argument("source")
@click.argument("target")
@state_option
@click.option("--follow", is_flag=True, help="Print the logs.")
@json_option
def make_kit(source: str, target: str, state: str | None, follow: bool, as_json: bool) -> None:
    """Make the upgrade kit from image SOURCE to image TARGET, both by their full names, and publish it.

    It is tried before it is published: it must make the files of the one those of the other, bit for bit.

    Exit codes: 0 made, 1 it does not do that, 3 there is no way from the one to the other, 10 no such image.
    """
    app = open_app(state)
    app.tell = say
    ordered = [app.order_kit(source, target)]
    app.run_until_done(TerminalWatcher(app.paths.job_log, follow=follow), ordered)
    finish_jobs(app, ordered, as_json=as_json)


@click.command("apply-kit")
@click.argument("kit", type=click.Path(path_type=Path))
@click.argument("device", type=click.Path(path_type=Path))
@click.option(
    "--description",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"What names the kit, its signature beside it. [default: {FILE} beside the kit]",
)
@click.option(
    "--keyring",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Certificates, one of which must have signed it. [default: the key of this installation's images]",
)
@state_option
@json_option
def apply_to_image(
    kit: Path, device: Path, description: Path | None, keyring: Path | None, state: str | None, as_json: bool
) -> None:
    """Upgrade DEVICE by a kit: a file with what is on a USB stick, or a folder where the live partition of a stick is mounted.

    Only the live system changes; what the device keeps stays. Ended at any time, it starts as the old system or as the new one, and
    the same command goes on. A file is replaced when all of the new one is written and read again. It wants as much space beside it
    as it has, and both live systems and the kit in $TMPDIR; whether there is room is asked before.

    A link stays one: the file that it leads to is upgraded.

    Exit codes: 0 upgraded, 2 no kit or no device, 3 not signed, or not for this device, 10 no such file, 11 it is being upgraded
    already, 12 the file is not to be written to, 20 no space.
    """
    if keyring is None:
        certificates = Keyring(open_app(state).keys.certificate(IMAGE_CREDENTIAL), f"key {IMAGE_CREDENTIAL}")
    elif keyring.is_file():
        certificates = Keyring(keyring.read_bytes(), str(keyring))
    else:
        raise NotFound(f"{keyring} is no file", hint="name a file of OpenPGP certificates")
    with _interrupted_by_any(), tempfile.TemporaryDirectory(prefix="distwright-kit-") as folder:
        copy, found, upgrade = verified_copy(kit, description or kit.with_name(FILE), certificates, Path(folder))
        said = apply_kit(copy, device)
    if as_json:
        print_json({"device": str(device), "from": found.initial.name, "to": upgrade.target.name})
    else:
        click.echo(said if device.is_dir() else f"{device} is {upgrade.target.name}")


@contextlib.contextmanager
def _interrupted_by_any() -> Iterator[None]:
    """Have the first of these signals raise KeyboardInterrupt, so that no copy is left over; a second one changes nothing."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        for number in _ENDING:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@click.command("key")
@state_option
@json_option
def print_key(state: str | None, as_json: bool) -> None:
    """Print the certificate that sums of images and descriptions of upgrades are signed with: who checks them must trust it.

    Exit codes: 0 printed, 10 there is no such key.
    """
    certificate = open_app(state).keys.certificate(IMAGE_CREDENTIAL).decode()
    if as_json:
        print_json({"certificate": certificate})
    else:
        click.echo(certificate, nl=False)
