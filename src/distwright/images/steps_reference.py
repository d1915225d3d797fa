"""Generate the reference of steps (docs/reference/steps.md) from the steps themselves."""

import inspect

from distwright.images.driving.steps import STEPS

_HEAD = """# Steps of features

What a feature of an image may say. Features are Gherkin, run by [behave](https://behave.readthedocs.io/): files `NAME.feature`
in the folders that `features` of `[image.NAME]` names; what lies beside them (pictures, more steps in `steps/*.py`) goes along.
A sentence may begin with Given, When, Then, And or But: no difference is made.
This page is generated from the steps: `DISTWRIGHT_RECORD=1 .venv/bin/python -m pytest tests/habits/test_generated_pages.py`.

Each scenario has a machine of its own, which goes on from where the image had started (`boot_expect`), with nobody logged in.
Its medium cannot be written to, and its network leads nowhere: DHCP answers, and nothing else does. What is waited for may take
what is left of the scenario's time: 120 seconds, not counting those in which the machine had to wait for a processor.

| tag | means |
|---|---|
| `@fresh` | the machine is switched on when the scenario begins: for boot menus and the like; `boot_timeout_s` is added |
| `@limit:SECONDS` | the time of the scenario |
| `@only:FIRMWARE` | only with `bios`, `uefi` or `secure-boot`; several add up |
| `@upgrade` | the machine is switched on from a stick with an earlier image, to which it can write, and there is a kit for it; \
`boot_timeout_s` is added twice. Skipped but with `distwright image test --upgrade-from` |
| `@quarantine` | the scenario runs and is reported, and never decides |

| step | does |
|---|---|
"""


def steps_reference() -> str:
    """Give the page."""
    rows = [
        f"| `{sentence}` | {' '.join((inspect.getdoc(function) or '').split()).replace('|', chr(92) + '|')} |\n"
        for sentence, function in STEPS
    ]
    return _HEAD + "".join(rows)
