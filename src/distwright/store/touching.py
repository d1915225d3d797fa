"""Let a file of the object store count as kept just now."""

import errno
import os
import time
from pathlib import Path


def touch_file(path: Path) -> bool:
    """Make the time of access now, leave the time of change; say whether the file is there.

    That a file on a disk which we may only read cannot be touched is no error: it is not ours to collect.
    """
    try:
        changed_ns = path.stat().st_mtime_ns
        os.utime(path, ns=(time.time_ns(), changed_ns))
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EACCES, errno.EROFS):
            raise
    return True
