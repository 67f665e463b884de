"""No network, in this process and in every Python process that it starts: nothing anomri does may need one.

Python imports this module on its own where its folder is on the search path, so `conftest.py` puts it there. The
machine itself may be spoken to: a library that asks whether it has IPv6 does so when it is imported.
"""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["NetworkUsed"]

HERE = (None, "", "localhost", "127.0.0.1", "::1", b"localhost", b"127.0.0.1", b"::1")
TO_AN_ADDRESS = ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg")
OF_A_NAME = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo")


class NetworkUsed(BaseException):
    """Something reached for the network; no handler of exceptions takes it for a connection that failed."""


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event in TO_AN_ADDRESS:
        # Sockets between processes have a path for an address, others host and port.
        away = isinstance(arguments[1], tuple) and arguments[1][0] not in HERE
    elif event in OF_A_NAME:
        host = arguments[0][0] if event == "socket.getnameinfo" else arguments[0]
        away = host not in HERE
    else:
        return
    if away:
        raise NetworkUsed(f"a test reached for the network: {event} of {arguments}")


# An audit hook sees what native code asks of Python's sockets, too, and cannot be taken off again.
sys.addaudithook(_refuse)
