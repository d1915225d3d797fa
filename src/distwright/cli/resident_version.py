"""Which code a resident server runs: a command is only handed to a server of the same code."""

import os

# The files of the package may be replaced below a running server; both sides say what they see when they are loaded.
_STATUS = os.stat(__file__)  # noqa: PTH116  # pathlib costs 5 ms where this is needed
VERSION = f"{__file__} {_STATUS.st_mtime_ns} {_STATUS.st_ino}"
