"""What a resident server and who asks it have in common: which code they run, and the words between them.

A command is only handed to a server of the same code. It is answered REFUSED, or BEGUN and then its exit code.
"""

import os

# The files of the package may be replaced below a running server; both sides say what they see when they are loaded.
_STATUS = os.stat(__file__)  # noqa: PTH116  # pathlib costs 5 ms where this is needed
VERSION = f"{__file__} {_STATUS.st_mtime_ns} {_STATUS.st_ino}"
BEGUN = b"begun"  # said before the fork: who never heard it may run the command alone
REFUSED = b"no"  # it does not run here, also after BEGUN
INTERRUPT = b"interrupt"
