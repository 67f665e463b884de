"""The tests run without a network, and so do the Python processes they start; that this is so is tested here.

What is not Python is beyond the ban: chromium is told to find no host, and the few other programs (dcmtk, dciodvfy,
pdftotext, the BIDS validator) are given files alone.
"""

from __future__ import annotations

import _socket
import ast
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# An address for documentation, RFC 5737, and a name that cannot exist, RFC 2606.
ELSEWHERE = ("192.0.2.1", 9)
REACHING: dict[str, Callable[[], object]] = {
    "connect": lambda: socket.create_connection(ELSEWHERE, timeout=0.1),
    "connect a socket": lambda: with_socket(lambda one: one.connect(ELSEWHERE)),
    "send": lambda: with_socket(lambda one: one.sendto(b"x", ELSEWHERE)),
    "serve": lambda: with_socket(lambda one: one.bind(("0.0.0.0", 0))),
    "look up": lambda: socket.getaddrinfo("nowhere.invalid", 80),
    "look up natively": lambda: _socket.gethostbyname("nowhere.invalid"),
}


def with_socket(use: Callable[[socket.socket], object]) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as one:
        use(one)


@pytest.mark.parametrize("reach", REACHING.values(), ids=REACHING)
def test_a_test_that_reaches_for_the_network_fails(reach):
    with pytest.raises(BaseException, match="reached for the network") as caught:
        reach()
    # It must not pass for a connection that failed, which programs put up with.
    assert not isinstance(caught.value, Exception)


def test_so_does_a_process_that_a_test_starts():
    code = "import socket; socket.getaddrinfo('nowhere.invalid', 80)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "NetworkUsed" in ended.stderr


def test_no_test_takes_the_ban_off_its_processes():
    """Whoever sets the search path of a process keeps what is on it, where the ban lies."""
    for file in sorted(Path(__file__).parents[1].rglob("test_*.py")):
        text = file.read_text(encoding="utf-8")
        sets = [
            node
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Dict) and any(ast.unparse(key) == "'PYTHONPATH'" for key in node.keys if key)
        ]
        assert not sets or file.name == Path(__file__).name or 'os.environ["PYTHONPATH"]' in text, file.name


def test_processes_may_speak_to_one_another():
    one, other = socket.socketpair()
    with one, other:
        one.sendall(b"x")
        assert other.recv(1) == b"x"
