"""What a resident server and who asks it have in common: where it listens, which code they run, the words between them.

A command is only handed to a server of the same code. It is answered REFUSED, or BEGUN and then its exit code.
"""

import sys

SOCKET = "run/command.sock"
VERSION = f"{__file__} {sys.prefix} {sys.version}"  # what is in the files of the package, the server looks at
BEGUN = b"begun"  # said before the fork: who never heard it may run the command alone
REFUSED = b"no"  # it does not run here, also after BEGUN
INTERRUPT = b"interrupt"
