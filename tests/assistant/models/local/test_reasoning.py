"""Reasoning of models that run here: opened by their template, turned off by it, or declared by their tokenizer."""

import json
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from assistant.errors import EmptyReply, ModelError
from assistant.messages import Reasoning, ToolCall, user
from assistant.models.base import GenerationOptions, ReplyItem
from assistant.models.local.model import LocalModel
from assistant.models.local.response_parser import DeclaredResponse
from assistant.models.replies import stream_reply
from tests.fakes.generation import complete

# As Qwen3's and Gemma's templates: they open the reasoning, and close it at once if none is wanted.
THINKING = (
    "{%- if add_generation_prompt %}"
    "{%- if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}"
    "{%- else %}{{ '<think>\n' }}{%- endif %}{%- endif %}"
)
RESPONSE_TEMPLATE: dict[str, Any] = {
    "start_anchor": "<|im_start|>assistant\n",
    "fields": {
        "content": {"close": "<|im_end|>"},
        "thinking": {"open": "<think>", "close": "</think>"},
        "tool_calls": {"open": "<tool_call>", "close": "</tool_call>", "content": "json", "repeats": True},
    },
}
PROMPT = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def thinking_folder(llava_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("thinking") / "tiny-thinking"
    shutil.copytree(llava_folder, folder)
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text() + THINKING)
    return folder


@pytest.fixture(scope="module")
def model(thinking_folder: Path) -> LocalModel:
    return LocalModel.load(str(thinking_folder), device="cpu", quantize="none")


def read(model: LocalModel, **options: Any) -> list[ReplyItem]:
    chosen = GenerationOptions(max_tokens=8, **options)
    return [*stream_reply(model, [user("What is it?")], chosen, threading.Event())]


def test_a_reply_begins_in_the_reasoning_that_the_template_opens(model: LocalModel) -> None:
    assert complete(model, user("What is it?"), max_tokens=8).startswith("<think>")
    with pytest.raises(EmptyReply, match="only reasoned, and gave no answer"):
        read(model)


def test_reasoning_can_be_turned_off_and_skills_do_so(model: LocalModel) -> None:
    items = read(model, reasoning="off")
    assert items
    assert all(isinstance(item, str) for item in items)
    assert GenerationOptions.greedy(8).reasoning == "off"
    alone = complete(model, user("What is it?"), max_tokens=8, reasoning="off")
    batch = model.generate_batch([[user("What is it?")]], GenerationOptions.greedy(8), threading.Event())
    assert batch[0].text == alone


def test_a_batch_has_the_text_without_the_reasoning(model: LocalModel) -> None:
    options = GenerationOptions(max_tokens=8, temperature=0)
    [reply] = model.generate_batch([[user("What is it?")]], options, threading.Event())
    assert reply.text == ""
    assert reply.usage.reply_tokens > 0
    assert reply.usage.reasoning_tokens > 0


def test_scores_are_those_of_an_answer(model: LocalModel, thinking_folder: Path) -> None:
    other = LocalModel.load(str(thinking_folder), device="cpu", quantize="none")
    one, another = (each.score([user("Is it?")], ["yes", "no"], threading.Event()) for each in (model, other))
    for found, expected in zip(one, another, strict=True):
        assert found == pytest.approx(expected, abs=2e-3)


def parse(chunks: Sequence[str], prompt: str = PROMPT) -> tuple[str, str, list[ToolCall]]:
    response = DeclaredResponse(RESPONSE_TEMPLATE, prompt, "tiny")
    items = [item for chunk in chunks for item in response.push(chunk)] + [*response.flush()]
    text = "".join(item for item in items if isinstance(item, str))
    reasoning = "".join(item.text for item in items if isinstance(item, Reasoning))
    return text, reasoning, [item for item in items if isinstance(item, ToolCall)]


CALL = '<tool_call>{"name": "weather", "arguments": {"city": "Oslo"}}</tool_call>'


@pytest.mark.parametrize("split", [lambda text: [text], list], ids=["whole", "by character"])
def test_a_declared_response_is_told_apart(split: Callable[[str], list[str]]) -> None:
    assert parse(split("<think>It is red.</think>Red.")) == ("Red.", "It is red.", [])
    assert parse(split("It is red.</think>Red."), f"{PROMPT}<think>") == ("Red.", "It is red.", [])
    assert parse(split(f"Let me see.{CALL}")) == ("Let me see.", "", [ToolCall("weather", '{"city": "Oslo"}')])
    assert parse(split("<think>never closed")) == ("", "never closed", [])


@pytest.mark.parametrize(
    "damaged", ['<tool_call>{"name": "wea', "<tool_call>weather</tool_call>", "<tool_call>{}</tool_call>"]
)
def test_half_a_call_or_none_at_all_is_no_call(damaged: str) -> None:
    text, _, calls = parse([f"Let me see.{damaged}"])
    assert text == "Let me see."
    assert calls == []


def test_the_declaration_of_a_folder_applies(llava_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tiny-declared"
    shutil.copytree(llava_folder, folder)
    config = folder / "tokenizer_config.json"
    values = json.loads(config.read_text())
    config.write_text(json.dumps(values | {"response_template": RESPONSE_TEMPLATE}))
    declared = LocalModel.load(str(folder), device="cpu", quantize="none")
    plain = LocalModel.load(str(llava_folder), device="cpu", quantize="none")
    question = user("What is it?")
    assert complete(declared, question, max_tokens=8) == complete(plain, question, max_tokens=8)
    config.write_text(json.dumps(values | {"response_template": {"fields": []}}))
    broken = LocalModel.load(str(folder), device="cpu", quantize="none")
    with pytest.raises(ModelError, match="The response template of tiny-declared is invalid"):
        complete(broken, question)
