"""An OpenAI-compatible chat endpoint: one question, the last line of its answer, retries, and errors of one line."""

import json
import os
import re
import time
from collections.abc import Callable
from queue import Empty, Queue
from threading import Thread
from typing import NamedTuple
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidURL
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util.retry import Retry

from eval.core.errors import UserError
from eval.settings import JudgeSettings

LINE_CHARACTERS = 300  # of the last line that are kept
SHORTEST_SECRET = 8  # shorter keys (`EMPTY`, `-`) are placeholders for servers that want none
CONNECT_S = 5.0
RETRIES = 3
BACKOFF_S = 0.5  # waits of 0, 1 and 2 s; a Retry-After of the endpoint goes before
LONGEST_WAIT_S = 30
NO_ADDRESS = "eval.judge.url is no http address; give one like http://127.0.0.1:8000/v1"
LARGEST_BODY, CHUNK = 4 << 20, 1 << 16  # bytes
_POOL = re.compile(r"^\w+\(host=.*?\): ")  # how urllib3 begins what it says
_BUSY = frozenset({408, 429, *range(500, 600)})
_THIS_PROMPT = {400, 413, 422}  # too long for the judge, or filtered: the next prompt may pass


class Answer(NamedTuple):
    """The last line of what the judge wrote; None where it wrote nothing readable, and then `problem` says why."""

    last_line: str | None
    problem: str | None = None


class Endpoint:
    """`<url>/chat/completions` with retries. The key goes into the request's header and nowhere else."""

    def __init__(self, judge: JudgeSettings) -> None:
        self._judge = judge
        try:
            parts = urlsplit(judge.url or "")
            valid = parts.hostname is not None and parts.port != 0 and parts.scheme in ("http", "https")
        except ValueError:
            valid = False
        if not valid:
            raise UserError(NO_ADDRESS)
        self.host = parts.netloc.rpartition("@")[2]
        self._key = os.environ.get(judge.key_variable, "").strip()
        if not (self._key.isascii() and self._key.isprintable()) or " " in self._key:
            raise UserError(f"{judge.key_variable} holds characters that no key has; set it anew")
        retry = Retry(
            total=RETRIES,
            connect=1,
            allowed_methods=None,  # asking twice changes nothing there
            status_forcelist=_BUSY,
            backoff_factor=BACKOFF_S,
            retry_after_max=LONGEST_WAIT_S,
            raise_on_status=False,
        )
        self._session = requests.Session()
        adapter = HTTPAdapter(pool_maxsize=judge.requests_at_once, max_retries=retry)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        if self._key:
            self._session.auth = _bearer(self._key)  # a plain header would lose against a .netrc

    def ask(self, prompt: str) -> Answer:
        """The last line of the judge's answer; raises UserError in one line if it gives none to anybody.

        In a thread of its own: the time-outs of sockets are between two bytes, and one may come after the other.
        """
        found: Queue[Answer | BaseException] = Queue()

        def work() -> None:
            try:
                found.put(self._asked(prompt))
            except BaseException as error:
                found.put(error)

        Thread(target=work, daemon=True).start()
        try:
            answer = found.get(timeout=(1 + RETRIES) * self._judge.timeout_s + RETRIES * LONGEST_WAIT_S)
        except Empty:
            raise self._silent(f"no whole answer within eval.judge.timeout_s, tried {1 + RETRIES} times") from None
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _asked(self, prompt: str) -> Answer:
        judge = self._judge
        try:
            response = self._session.post(
                f"{(judge.url or '').rstrip('/')}/chat/completions",
                json={"model": judge.model, "temperature": 0, "messages": [{"role": "user", "content": prompt}]},
                timeout=(min(CONNECT_S, judge.timeout_s), judge.timeout_s),
                allow_redirects=False,
                stream=True,
                headers={"Accept-Encoding": "identity"},
            )
            body = self._body(response)
        except (InvalidURL, LocationParseError, UnicodeError):
            raise UserError(NO_ADDRESS) from None  # the error repeats the address, which may hold a password
        except (OSError, HTTPError) as error:  # requests lets some of urllib3's through
            reason = getattr(error.args[0] if error.args else None, "reason", error)
            raise self._silent(self._shown(_POOL.sub("", str(reason)))) from None
        status = response.status_code
        if status == 200:
            return self._last_line(body)
        said = f"HTTP {status}: {self._shown(_message(body))}".removesuffix(": ")
        if status in _THIS_PROMPT:
            return Answer(None, said)
        if status in (401, 403):  # its words may repeat the key
            wants = f"set {judge.key_variable} to one that it takes"
            raise UserError(f"judge at {self.host} refuses the key (HTTP {status}); {wants}")
        if status == 404:
            raise UserError(
                f"judge at {self.host} does not know model {judge.model!r} ({said}); check eval.judge.model, and that "
                "eval.judge.url goes up to and with /v1"
            )
        raise self._silent(said)

    def _body(self, response: requests.Response) -> bytes:
        """Raises TimeoutError and UserError for a body that takes too long, or has no end."""
        deadline, parts = time.monotonic() + self._judge.timeout_s, list[bytes]()
        with response:
            while part := response.raw.read1(CHUNK, decode_content=True):
                parts.append(part)
                if sum(map(len, parts)) > LARGEST_BODY:
                    raise self._silent(f"its answer is longer than {LARGEST_BODY >> 20} MiB")
                if time.monotonic() > deadline:
                    raise TimeoutError(f"no whole answer within {self._judge.timeout_s:g} s")
        return b"".join(parts)

    def _silent(self, reason: str) -> UserError:
        return UserError(f"judge at {self.host} does not answer ({reason}); start it or check eval.judge.url")

    def _last_line(self, body: bytes) -> Answer:
        try:
            content = json.loads(body)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError, RecursionError):
            content = body
        if content is None:
            content = ""  # all tokens went into a thought that the server hides
        if not isinstance(content, str):
            return Answer(None, f"no chat completion: {self._shown(body.decode(errors='replace'))}".removesuffix(": "))
        line = content.strip().rpartition("\n")[2].strip()
        return Answer(self._hidden(line)[:LINE_CHARACTERS])

    def _shown(self, text: str) -> str:
        return self._hidden(" ".join(text.split()))[:160]

    def _hidden(self, text: str) -> str:
        """An endpoint that repeats the key must not bring it into a file or a message."""
        return text.replace(self._key, "***") if len(self._key) >= SHORTEST_SECRET else text


def _bearer(key: str) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {key}"
        return request

    return sign


def _message(body: bytes) -> str:
    """What an endpoint says about an error: OpenAI's `error.message`, vLLM's `message`, or the body."""
    text = body.decode(errors="replace")
    try:
        found = json.loads(text)
        inner = found.get("error", found)
        return str(inner["message"] if isinstance(inner, dict) else inner)
    except (ValueError, AttributeError, KeyError, RecursionError):
        return text
