"""Open a door in a network namespace that has no other: run by the host's Python as its root, in front of the program.

A script, not a module of ours, as `enter_root` is. It sets loopback up, listens on 127.0.0.1, and hands the listening socket over
to whoever holds the other end of an inherited Unix socket (unix(7), SCM_RIGHTS). A socket stays in the namespace that it was made
in, so whoever accepts on it outside serves what is inside, and there is no other way between the two. Then it becomes the program.

Arguments: descriptor port program [argument …].
"""

import fcntl
import os
import socket
import struct
import sys

SIOCSIFFLAGS, IFF_UP_LOOPBACK_RUNNING = 0x8914, 1 | 8 | 64  # netdevice(7)
BACKLOG = 128


def main() -> None:
    """Do it."""
    descriptor, port, *program = sys.argv[1:]
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP_LOOPBACK_RUNNING))
        with socket.socket(fileno=int(descriptor)) as channel, socket.socket() as door:
            door.bind(("127.0.0.1", int(port)))
            door.listen(BACKLOG)
            socket.send_fds(channel, [b"."], [door.fileno()])
        os.execvp(program[0], program)
    except OSError as error:
        sys.exit(f"sandbox: the door to the shelf: {error.strerror}")


main()
