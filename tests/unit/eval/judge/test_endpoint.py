"""What the judge's endpoint is told, and the one line that a user reads when it does not answer."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from eval.core.errors import UserError
from eval.judge import endpoint
from eval.judge.judging import probe
from tests.support.judge_server import KEY, JudgeServer, Reply, completion, one_line, refusal, settings


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[JudgeServer]:
    monkeypatch.setattr(endpoint, "BACKOFF_S", 0.01)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with JudgeServer(lambda _: completion("Hello!")) as running:
        yield running


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (refusal(401, f"wrong key {KEY}"), "refuses the key (HTTP 401); set OPENAI_API_KEY"),
        (refusal(403, f"no rights for {KEY}"), "refuses the key (HTTP 403); set OPENAI_API_KEY"),
        (refusal(404, "no such model"), "does not know model 'stub' (HTTP 404: no such model); check eval.judge.model"),
        (refusal(400, "temperature must be 1"), "answers no chat completion (HTTP 400: temperature must be 1); check"),
        (refusal(503, "loading"), "does not answer (HTTP 503: loading); start it"),
        (Reply(302, b"", {"Location": "/elsewhere"}), "does not answer (HTTP 302)"),
        (Reply(200, b"<html>hello</html>"), "answers no chat completion (no chat completion: <html>hello</html>)"),
    ],
)
def test_the_probe_says_in_one_line_what_to_mend(server: JudgeServer, reply: Reply, said: str) -> None:
    server.answer = lambda _: reply
    with pytest.raises(UserError) as caught:
        probe(settings(server))
    message = one_line(caught)
    assert said in message
    assert "judge at 127.0.0.1:" in message


def test_the_probe_passes_with_a_judge_that_answers(server: JudgeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    server.answer = lambda _: completion("Hello!")
    probe(settings(server, url=server.url + "/"))
    assert [(asked.path, asked.authorization) for asked in server.asked] == [("/v1/chat/completions", "")]


def test_the_request_is_what_such_endpoints_take(server: JudgeServer) -> None:
    probe(settings(server))
    [asked] = server.asked
    assert (asked.body["model"], asked.body["temperature"]) == ("stub", 0)
    assert [message["role"] for message in asked.body["messages"]] == ["user"]
    assert asked.authorization == f"Bearer {KEY}"


def test_an_unreachable_port_is_one_line_at_once(server: JudgeServer) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound, but nobody listens
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        start = time.perf_counter()
        with pytest.raises(UserError) as caught:
            probe(settings(server, url=url))
    assert time.perf_counter() - start < 3
    assert one_line(caught).startswith(f"judge at {url.removeprefix('http://').removesuffix('/v1')} does not answer (")
    assert "Connection refused" in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "127.0.0.1:8000/v1",
        "ftp://127.0.0.1/v1",
        "http://",
        "http://:8000/v1",
        "http://[::1/v1",
        "http://host:99999/v1",
        f"http://{'a' * 300}/v1",
    ],
)
def test_an_address_that_is_none_is_one_line(server: JudgeServer, url: str | None) -> None:
    with pytest.raises(UserError, match=r"eval\.judge\.url is no http address; give one like"):
        probe(settings(server, url=url))


@pytest.mark.parametrize("key", [f"{KEY}\nX: 1", f"{KEY} {KEY}", f"{KEY}é", f"{KEY}\x07"])
def test_a_key_that_no_header_takes_is_not_shown(
    server: JudgeServer, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("MY_KEY", key)
    with pytest.raises(UserError) as caught:
        probe(settings(server, key_variable="MY_KEY"))
    assert "MY_KEY holds characters" in one_line(caught)


def test_a_netrc_entry_does_not_replace_the_key(
    server: JudgeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    probe(settings(server))
    assert server.asked[0].authorization == f"Bearer {KEY}"
