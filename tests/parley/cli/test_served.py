"""A server in the place of the model on this machine, as the command line, line mode and Python meet it."""

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from assistant.errors import ConfigError
from assistant.events import TurnFinished
from assistant.messages import user
from assistant.settings import Settings, load
from parley.factory.models import build_model
from parley.factory.session import start_session
from tests.fakes import chat_server
from tests.fakes.chat_server import ChatServer, error_response
from tests.fakes.command_line import command, last_messages, run, start
from tests.fakes.http_server import running

KEY = "sk-very-secret-1234"

pytestmark = pytest.mark.usefixtures("command_machine")

ENDING_SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with running(ChatServer(reply="It is a red square.")) as server:
        yield server


def last_turn() -> list[tuple[str, bool]]:
    return [(message["text"], message["interrupted"]) for message in last_messages()[-2:]]


def test_ask_is_answered_by_the_server(server: ChatServer, photo: Path) -> None:
    result = run("ask", "What is this?", "-i", str(photo), "--backend", "remote", "--base-url", server.url, "--json")
    answer = json.loads(result.stdout)
    assert (answer["answer"], answer["model"]) == ("It is a red square.", "tiny-vlm")
    assert (answer["prompt_tokens"], answer["reply_tokens"]) == (16 + 3, 5)
    assert len(server.images()) == 1


def test_base_url_alone_selects_the_server(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_BASE_URL", server.url.removesuffix("/v1"))
    assert run("ask", "What is this?").stdout == "It is a red square.\n"
    assert run("ask", "Hello", "--backend", "local", "--model", "scripted").stdout == "You said: Hello\n"


def test_a_remote_backend_needs_an_address() -> None:
    result = run("ask", "Hello", "--backend", "remote")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "parley: --backend remote needs the address of a server: --base-url http://localhost:8000/v1.\n"
    )


def test_a_server_model_is_chosen_by_name(server: ChatServer) -> None:
    server.models = ["large", "small"]
    several = run("ask", "Hello", "--base-url", server.url)
    assert several.exit_code == 1
    assert "choose with --model one of large, small." in several.stderr
    assert run("ask", "Hello", "--base-url", server.url, "-m", "large").exit_code == 0
    assert server.requests[-1]["model"] == "large"


def test_a_wrong_name_among_hundreds_is_answered_with_the_closest(server: ChatServer) -> None:
    server.models = [f"owner/model-{number}" for number in range(300)] + ["qwen/qwen3-vl-8b-instruct"]
    result = run("ask", "Hello", "--base-url", server.url, "-m", "qwen3-vl-8b-instrukt")
    assert result.exit_code == 1
    assert "did you mean qwen/qwen3-vl-8b-instruct" in result.stderr
    assert "`parley models --search TEXT` searches all 301." in result.stderr
    server.models = ["large", "small"]
    assert "choose with --model one of large, small." in run("ask", "Hi", "--base-url", server.url, "-m", "tiny").stderr


def test_the_models_of_a_server_are_listed_and_searched(server: ChatServer) -> None:
    server.models = [f"owner/model-{number}" for number in range(300)] + ["qwen/Qwen3-VL"]
    listed = run("--base-url", server.url, "models", "--json")
    assert [row["name"] for row in json.loads(listed.stdout)] == server.models
    found = run("--base-url", server.url, "models", "--search", "vl QWEN")
    assert found.stdout.split() == ["qwen/Qwen3-VL", "context", "512", "tokens"]
    missing = run("--base-url", server.url, "models", "list", "--search", "qwen2-vl")
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert "None of 301 models has qwen2-vl in its name: the closest are qwen/Qwen3-VL" in missing.stderr
    several = run("ask", "Hello", "--base-url", server.url)
    assert "and 289 more, which `parley models --search TEXT` finds." in several.stderr


def test_a_named_server_answers_and_a_conversation_changes_to_it_and_back(server: ChatServer, tmp_path: Path) -> None:
    server.models = ["large", "small"]
    file = tmp_path / "config.toml"
    file.write_text(f'model = "scripted"\n[servers.box]\nbase_url = "{server.url}"\nmodel = "small"\n')
    asked = run("--config", str(file), "ask", "Hello", "-m", "box/large", "--json")
    assert json.loads(asked.stdout)["model"] == "large"
    talk = run("--config", str(file), stdin="One\n/model box\nTwo\n/model box/nobody\nThree\n/model scripted\nFour\n")
    assert talk.stdout.splitlines()[0] == "You said: One"
    assert talk.stdout.splitlines()[-1] == "You said: Four"
    assert [*dict.fromkeys(request["model"] for request in server.requests)] == ["large", "small", "nobody"]
    assert f"box ({server.url})" in run("--config", str(file), "config").stdout
    assert "Servers in" not in run("--config", str(file), "-m", "box", "models").stderr
    assert "Servers in the settings file: box." in run("--config", str(file), "models", "--search", "pocket").stderr
    assert run("--config", str(file), "models", "use", "box/large").exit_code == 0
    assert file.read_text().startswith('model = "box/large"\n[servers.box]')


def test_a_missing_key_of_a_named_server_is_asked_for_by_its_variable(
    server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.toml"
    monkeypatch.setenv("BOX_KEY", KEY)
    refusal = error_response(401, "No.")
    for key_env, remedy in (
        ('key_env = "BOX_KEY"', "set it in the environment as BOX_KEY"),
        ("", "name the environment variable that holds it as key_env of the server in the settings file"),
    ):
        file.write_text(f'[servers.box]\nbase_url = "{server.url}"\n{key_env}\n')
        server.models_behavior = refusal
        result = run("--config", str(file), "ask", "Hello", "-m", "box")
        assert result.exit_code == 1
        assert remedy in result.stderr
        assert ("Authorization" in server.headers[-1]) == bool(key_env)


def test_openai_s_variables_are_used_when_asked_for(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("PARLEY_API_KEY", "sk-other")
    assert run("ask", "Hello", "--openai-env").stdout == "It is a red square.\n"
    assert {headers["Authorization"] for headers in server.headers} == {f"Bearer {KEY}"}


def test_a_line_that_fails_stops_no_other(server: ChatServer) -> None:
    server.behaviors.extend([chat_server.cut_off, error_response(400, "No.")])
    result = run("--base-url", server.url, stdin="Count.\nWhat?\nAnd this?\n")
    assert result.stdout == "One two three\nIt is a red square.\n"
    assert re.fullmatch(
        r"parley: line 1: The server at \S+ broke off its answer: check that it is still running\.\n"
        r"parley: line 2: The server at \S+ answered 400 Bad Request \(No\)\.\n",
        result.stderr,
    )
    sent = [message["content"] for message in server.requests[-1]["messages"]]
    assert sent == ["Count.", "One two three", "And this?"]


def test_a_reply_that_breaks_off_is_saved_as_far_as_it_came(server: ChatServer) -> None:
    server.behaviors.append(chat_server.cut_off)
    result = run("ask", "Count.", "--base-url", server.url)
    assert (result.exit_code, result.stdout) == (1, "One two three\n")
    assert last_turn() == [("Count.", False), ("One two three", True)]


@ENDING_SIGNALS
def test_ctrl_c_closes_the_connection_and_saves_the_partial_reply(server: ChatServer, number: int) -> None:
    server.behaviors.append(chat_server.silent_after_a_word)
    # On a terminal, a reply is shown word by word.
    screen, terminal = pty.openpty()
    asking = subprocess.Popen(
        command("ask", "Count.", "--base-url", server.url),
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=subprocess.PIPE,
    )
    os.close(terminal)
    assert os.read(screen, 3) == b"One"
    # The server says nothing more, so only the signal can end the request.
    asking.send_signal(number)
    assert server.client_left.wait(30)
    _, errors = asking.communicate(timeout=30)
    os.close(screen)
    assert asking.returncode == 128 + number
    # Where the connection takes long, a line says that it is being made.
    assert errors in (b"", f"parley: asking the server at {server.url}\n".encode())
    assert last_turn() == [("Count.", False), ("One", True)]


@ENDING_SIGNALS
def test_a_signal_ends_the_wait_for_a_silent_server(server: ChatServer, number: int) -> None:
    server.models_behavior = chat_server.silent
    asking = start("ask", "Count.", "--base-url", server.url)
    assert asking.stderr is not None
    assert asking.stderr.readline().decode() == f"parley: asking the server at {server.url}\n"
    asking.send_signal(number)
    _, errors = asking.communicate(timeout=30)
    assert (asking.returncode, errors) == (128 + number, b"")


def test_the_api_key_is_read_from_the_environment_and_never_shown(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PARLEY_API_KEY", KEY)
    monkeypatch.setenv("PARLEY_BASE_URL", server.url)
    server.behaviors.append(error_response(403, f"The key {KEY} is not welcome."))
    refused = run("ask", "Hello", "--json")
    assert refused.exit_code == 1
    assert {headers["Authorization"] for headers in server.headers} == {f"Bearer {KEY}"}
    settings = run("config")
    assert server.url in settings.stdout
    for shown in (refused.output, settings.output, repr(load().settings)):
        assert KEY not in shown
    written = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    assert not any(KEY.encode() in data for data in written)


def test_the_api_key_is_not_accepted_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f'api_key = "{KEY}"')
    result = run("--config", str(file), "config")
    assert "sets api_key, which is no setting" in result.stderr
    assert KEY not in result.output


def test_a_session_starts_inside_an_event_loop(server: ChatServer, tmp_path: Path) -> None:
    async def talk() -> None:
        session = start_session(Settings(base_url=server.url, data_dir=tmp_path / "data"))
        async with aclosing(session.turn(user("What is this?"))) as events:
            finished = [event async for event in events][-1]
        await session.close()
        assert isinstance(finished, TurnFinished)
        assert finished.message.text == "It is a red square."

    asyncio.run(talk())


def test_remote_settings_without_an_address_are_an_error() -> None:
    with pytest.raises(ConfigError, match="needs the address of a server"):
        build_model(Settings(backend="remote"))
