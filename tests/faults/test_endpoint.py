"""Endpoints without end, and what they say."""

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from eval.core.errors import UserError
from eval.judge import endpoint
from eval.judge.endpoint import LARGEST_BODY, Endpoint
from eval.settings import JudgeSettings

BOMB = gzip.compress(bytes(16 << 20), 1)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Whatever is asked, `answer` writes to the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=one, args=(connection,), daemon=True).start()

        def one(connection: socket.socket) -> None:
            with connection:
                connection.recv(1 << 16)
                try:
                    answer(connection)
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1"


def _drip(connection: socket.socket, head: bytes) -> None:
    connection.sendall(head)
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def _zeros(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"\r\n")
    while True:
        connection.sendall(bytes(1 << 20))


def _bomb(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB)


ENDLESS = {
    "body drips": lambda connection: _drip(connection, HEAD + b"\r\n"),
    "head drips": lambda connection: _drip(connection, HEAD + b"X-Slow: "),
    "zeros": _zeros,
    "gzip": _bomb,
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_an_endless_answer_has_an_end(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "BACKOFF_S", 0.0)
    monkeypatch.setattr(endpoint, "LONGEST_WAIT_S", 0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(ENDLESS[kind]) as url:
        begun = time.monotonic()
        with pytest.raises(UserError, match="does not answer") as told:
            Endpoint(JudgeSettings(url=url, timeout_s=0.3)).ask("?")
        assert time.monotonic() - begun < 20
    assert "\n" not in str(told.value)
    if kind in ("zeros", "gzip"):
        assert f"longer than {LARGEST_BODY >> 20} MiB" in str(told.value)
