"""`/set` with odd words, and replies sampled with whatever it accepts, by both kinds of local models."""

import asyncio
import random
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import pytest
import torch

from assistant.conversation.set_command import OptionChoices, parse_set_command
from assistant.errors import ConfigError, ParleyError
from assistant.messages import user
from assistant.models.base import ChatModel, GenerationOptions
from assistant.models.gguf.model import GgufModel
from assistant.models.local.model import LocalModel
from assistant.models.replies import stream_text
from assistant.settings import parse_value
from tests.fakes.tiny_gguf import make_gguf
from tests.fakes.tiny_models import make_llava
from tests.fuzz.harness import fuzz, odd_text

pytestmark = pytest.mark.slow

NAMES = tuple(each.name for each in fields(GenerationOptions))
ODD_NAMES = (
    *NAMES,
    *NAMES,
    "top-p",
    "TOP_K",
    "temperature=",
    "seed:",
    "topp",
    "--top-p",
    "top_p=0.5",
    "model",
    "x" * 500,
)
VALUES = (
    *("0", "1", "2", "0.5", "-1", "1e-300", "1e300", "5e-324", "0.0000001", "1.9999999", "nan", "inf", "-inf", "-0"),
    *(
        "2147483647",
        "2147483648",
        "9223372036854775807",
        "1000000",
        "1000001",
        "0x10",
        "1_000",
        "٣",
        "½",
        "1,5",
        "true",
    ),
    *(
        "none",
        "null",
        "default",
        "DEFAULT",
        "[]",
        "{}",
        '[""]',
        '["a", "b"]',
        '"\\n"',
        '"\\ud800"',
        '"',
        '""',
        "a" * 201,
    ),
    *(" ", "\\n", "e", "the", "9" * 5000, "[" * 5000, "1" + "0" * 400, "0." + "0" * 400 + "1", "+1", "1 2", "0.1"),
)
MAX_TOKENS = 6


@dataclass(frozen=True)
class Input:
    """Lines that are typed one after another, and the model that answers then."""

    lines: tuple[str, ...]
    is_gguf: bool


def make_line(rng: random.Random) -> str:
    if rng.random() < 0.1:
        return f"/set {odd_text(rng)}"
    name = rng.choice(NAMES) if rng.random() < 0.8 else rng.choice((*ODD_NAMES, odd_text(rng, 1)))
    value = rng.choice(VALUES) if rng.random() < 0.9 else odd_text(rng, 3)
    return f"/set{rng.choice((' ', ' ', '  ', chr(10)))}{name}{rng.choice((' ', ' ', ' = ', chr(9), ''))}{value}"


def make_input(rng: random.Random) -> Input:
    return Input(tuple(make_line(rng) for _ in range(rng.randint(1, 8))), rng.random() < 0.5)


def set_options(lines: tuple[str, ...], model: ChatModel) -> GenerationOptions:
    """Type all lines and return the options after them. A line that is refused changes nothing."""
    choices = OptionChoices(GenerationOptions())

    async def run(words: str) -> list[str]:
        return [str(getattr(event, "text", "")) async for event in choices.run(words, model)]

    for line in lines:
        words = parse_set_command(line)
        if words is None:
            continue
        before = choices.current
        try:
            shown = asyncio.run(run(words))
        except ConfigError as error:
            shown = [str(error)]
            assert choices.current == before
        for sentence in shown:
            assert len(sentence) < 500
            assert "\n" not in sentence
            sentence.encode()
    return choices.current


def check(options: GenerationOptions) -> None:
    """Raise an error for a value that the settings would refuse."""
    for name in NAMES:
        if (value := getattr(options, name)) not in (None, ()):
            assert parse_value(name, value, name) == value


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Generator[Callable[[bool], ChatModel], None, None]:
    torch.set_num_threads(1)
    folder: Path = tmp_path_factory.mktemp("models")
    local = LocalModel.load(str(make_llava(folder / "llava")), device="cpu", quantize="none")
    gguf = GgufModel.load(make_gguf(folder / "tiny.gguf"), threads=1)
    yield lambda is_gguf: gguf if is_gguf else local
    local.close()
    gguf.close()


def test_set_lines_and_sampling(models: Callable[[bool], ChatModel]) -> None:
    def use(value: Input) -> None:
        model = models(value.is_gguf)
        options = set_options(value.lines, model)
        check(options)
        options = replace(options, max_tokens=min(options.max_tokens, MAX_TOKENS))
        try:
            text = "".join(stream_text(model, [user("What is it?")], options, threading.Event()))
        except ParleyError as error:
            assert "NaN" not in str(error), "options have made the numbers overflow"  # noqa: PT017
            raise
        text.encode()
        assert not any(stop in text for stop in options.stop)

    fuzz("sampling", make_input, use)
