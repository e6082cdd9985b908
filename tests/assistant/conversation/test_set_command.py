"""`/set` changes how replies are generated, and says what applies and where it comes from."""

import asyncio
import random
from collections.abc import Mapping

import pytest

from assistant.conversation.session import Session
from assistant.conversation.set_command import parse_set_command
from assistant.errors import ConfigError, ParleyError
from assistant.events import Notice
from assistant.messages import user
from assistant.models.base import GenerationOptions, ModelDefaults
from assistant.models.pocket.described_images import Vision
from assistant.models.pocket.model import PocketModel
from assistant.models.scripted import ScriptedModel
from tests.fuzz.harness import odd_text


class ModelWithDefaults(ScriptedModel):
    """A model whose makers want it sampled."""

    defaults = GenerationOptions(temperature=0.6, top_k=20)


def start(
    options: GenerationOptions | None = None,
    origins: Mapping[str, str] | None = None,
    model: ScriptedModel | None = None,
) -> Session:
    return Session(model or ScriptedModel(), options=options, option_origins=origins)


def run(session: Session, text: str) -> list[str]:
    async def events() -> list[str]:
        return [event.text async for event in session.turn(user(text)) if isinstance(event, Notice)]

    return asyncio.run(events())


@pytest.mark.parametrize(
    ("text", "words"),
    [("/set", ""), (" /set  top_p 1 ", "top_p 1"), ("/settle", None), ("set x", None), ("/set\ntop_p", "top_p")],
)
def test_the_command_is_recognized(text: str, words: str | None) -> None:
    assert parse_set_command(text) == words


def test_every_option_is_listed_with_its_origin() -> None:
    options = GenerationOptions(max_tokens=9, temperature=0.0, stop=("\n", "b"))
    session = start(options, {"max_tokens": "environment", "temperature": "command line", "stop": "my.toml"})
    assert run(session, "/set") == [
        "max_tokens: 9 (environment)",
        "temperature: 0.0 (command line)",
        "seed: not set (default)",
        "top_p: not set (left to scripted)",
        "top_k: not set (left to scripted)",
        "min_p: not set (left to scripted)",
        "repetition_penalty: not set (left to scripted)",
        "presence_penalty: not set (left to scripted)",
        r'stop: "\n", "b" (my.toml)',
        "reasoning: show (default)",
    ]


def test_what_the_makers_of_the_model_have_set_is_told() -> None:
    session = start(model=ModelWithDefaults())
    assert run(session, "/set temperature") == ["temperature: 0.6 (the makers of scripted)"]
    assert run(session, "/set top_p") == ["top_p: 1 (default)"]
    assert run(session, "/set temperature 0") == ["temperature: 0.0 (/set)"]
    assert run(session, "/set temperature default") == ["temperature: 0.6 (the makers of scripted)"]


def test_a_value_applies_from_the_next_reply_on_and_can_be_taken_back() -> None:
    session = start(GenerationOptions(max_tokens=7), {"max_tokens": "environment"})
    assert run(session, "/set max-tokens 2") == ["max_tokens: 2 (/set)"]
    assert session.options == GenerationOptions(max_tokens=2)
    run(session, "one two three")
    assert session.messages[-1].text == "You said:"
    assert run(session, "/set Max_Tokens DEFAULT") == ["max_tokens: 7 (environment)"]
    assert session.options == GenerationOptions(max_tokens=7)


@pytest.mark.parametrize(
    ("value", "stop"),
    [
        ("###", ("###",)),
        (r'"\n\n"', ("\n\n",)),
        ('["a", "b"]', ("a", "b")),
        ("[]", ()),
        ('"', ('"',)),
        ("a b", ("a b",)),
    ],
)
def test_stop_strings_may_be_quoted(value: str, stop: tuple[str, ...]) -> None:
    session = start()
    run(session, f"/set stop {value}")
    assert session.options.stop == stop


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("temprature 1", "/set knows no option temprature: did you mean temperature?"),
        ("x", "/set knows no option x: there are max_tokens, temperature, seed, top_p"),
        ("temperature hot", "/set temperature is 'hot', but it should be a number from 0 to 2."),
        ("temperature nan", "/set temperature is 'nan', but it should be a number from 0 to 2."),
        ("top_k 1000000000000", "/set top_k is '1000000000000', but it should be a whole number from 0 up to 1000000."),
        ("seed 9223372036854775808", "/set seed is '9223372036854775808', but it should be a whole number from 0"),
        ("repetition_penalty 0", "/set repetition_penalty is '0', but it should be a number from 0.1 to 2."),
        ('stop ""', "/set stop is '', but it should be up to 16 texts of 1 to 200 characters"),
        ("max_tokens 0", "/set max_tokens is '0', but it should be a whole number from 1"),
    ],
)
def test_a_wrong_value_changes_nothing(words: str, message: str) -> None:
    session = start()
    with pytest.raises(ConfigError) as raised:
        run(session, f"/set {words}")
    assert str(raised.value).startswith(message)
    assert session.options == GenerationOptions()


def test_commands_are_no_part_of_the_conversation_and_spoken_words_are_none() -> None:
    session = start()
    run(session, "/set top_p 0.5")
    assert session.messages == []

    async def speak() -> None:
        async for _ in session.turn(user("/set top_p 0.9"), commands=False):
            pass

    asyncio.run(speak())
    assert session.options.top_p == 0.5
    assert len(session.messages) == 2


def test_odd_values_end_in_one_sentence_and_good_ones_apply() -> None:
    rng = random.Random(7)
    names = ["max_tokens", "temperature", "seed", "top_p", "top_k", "min_p", "repetition_penalty", "stop", "x", "STOP"]
    values = [
        "-1",
        "1e400",
        "nan",
        "0x1f",
        "9" * 5000,
        "[1]",
        "[" * 3000,
        '"\\ud800"',
        "default",
        "0.5",
        "1",
        "\0",
        "\n",
    ]
    session = start()
    for _ in range(400):
        value = rng.choice([*values, odd_text(rng, 4)])
        try:
            lines = run(session, f"/set {rng.choice(names)} {value}")
        except ParleyError as error:
            lines = [str(error)]
        assert len(lines) in (1, 9)
        assert all(len(line) < 1000 and "\n" not in line for line in lines)
    assert session.messages == []


def test_the_bundled_model_tells_what_its_language_model_wants() -> None:
    def load_vision() -> Vision:
        raise AssertionError("nothing is looked at")

    model = PocketModel(ModelWithDefaults(), load_vision)
    assert isinstance(model, ModelDefaults)
    assert model.defaults == ModelWithDefaults.defaults
    assert PocketModel(ScriptedModel(), load_vision).defaults == GenerationOptions()


def test_what_applies_with_an_image_is_told_as_well() -> None:
    def load_vision() -> Vision:
        raise AssertionError("nothing is looked at")

    session = Session(PocketModel(ModelWithDefaults(), load_vision))
    with_image = "while there is an image in the conversation"
    assert run(session, "/set temperature") == [f"temperature: 0.6 (the makers of scripted; 0.0 {with_image})"]
    assert run(session, "/set repetition_penalty") == ["repetition_penalty: 1 (default)"]
    assert run(session, "/set top_k") == ["top_k: 20 (the makers of scripted)"]
    assert run(session, "/set temperature 0.4") == ["temperature: 0.4 (/set)"]
