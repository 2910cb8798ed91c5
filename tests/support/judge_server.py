"""A stub of an OpenAI-compatible endpoint on 127.0.0.1: a test says how it answers, and reads what it was asked."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple

import pytest

from eval.core.errors import UserError
from eval.settings import JudgeSettings

KEY = "sk-secret-0123456789"
YES, NO = "VERDICT: correct", "VERDICT: incorrect"


class Asked(NamedTuple):
    """One request; `prompt` is the text of its only message, `authorization` the header, "" if there was none."""

    path: str
    body: dict[str, Any]
    prompt: str
    authorization: str


class Reply(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str] = {}


def completion(text: str | None) -> Reply:
    """A chat completion with one choice."""
    message = {"role": "assistant", "content": text}
    body = {"object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    return Reply(200, json.dumps(body).encode())


def refusal(status: int, message: str, **headers: str) -> Reply:
    return Reply(status, json.dumps({"error": {"message": message}}).encode(), headers)


class JudgeServer:
    """A context manager; `answer` may be replaced at any time, `hold` lets it keep its clients waiting till the end."""

    def __init__(self, answer: Callable[[Asked], Reply]) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.most_at_once = 0
        self._under_way = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> "JudgeServer":
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def hold(self, seconds: float) -> None:
        self._closing.wait(seconds)

    def _respond(self, asked: Asked) -> Reply:
        with self._lock:
            self.asked.append(asked)
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            return self.answer(asked)
        finally:
            with self._lock:
                self._under_way -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                prompt = body["messages"][-1]["content"]
                reply = server._respond(Asked(self.path, body, prompt, self.headers.get("Authorization", "")))
                try:
                    self.send_response(reply.status)
                    for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                        self.send_header(name.replace("_", "-"), value)
                    self.end_headers()
                    self.wfile.write(reply.body)
                except ConnectionError:  # the client has given up
                    pass

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


def settings(server: JudgeServer, **other: Any) -> JudgeSettings:
    return JudgeSettings(**{"url": server.url, "model": "stub", "timeout_s": 20, **other})


def reply_in(prompt: str) -> str:
    """The reply that a prompt shows."""
    return prompt.partition("[BEGIN reply ")[2].partition("\n")[2].rpartition("\n[END reply ")[0]


def one_line(caught: pytest.ExceptionInfo[UserError]) -> str:
    """What the user reads, which never holds the key."""
    text = str(caught.value)
    assert "\n" not in text
    assert KEY not in text
    return text
