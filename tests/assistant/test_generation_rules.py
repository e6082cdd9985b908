"""Valid values of the options of a reply: the same for Python, settings, command line and `/set`."""

from typing import Any

import numpy as np
import pytest

from assistant.errors import ConfigError
from assistant.generation_rules import RANGES
from assistant.models.base import GenerationOptions
from assistant.settings import Settings, load, parse_value


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": "hot"}, "temperature of GenerationOptions is 'hot', but it should be a number from 0 to 2."),
        ({"temperature": -0.1}, "temperature of GenerationOptions is -0.1, but it should be a number from 0 to 2."),
        ({"temperature": float("nan")}, "temperature of GenerationOptions is nan, but it should be a number from 0"),
        ({"top_p": 7}, "top_p of GenerationOptions is 7, but it should be a number above 0 and up to 1."),
        ({"top_p": 0.0}, "top_p of GenerationOptions is 0.0, but it should be a number above 0 and up to 1."),
        ({"top_k": 2.5}, "top_k of GenerationOptions is 2.5, but it should be a whole number from 0 up to 1000000."),
        ({"top_k": 10**400}, "top_k of GenerationOptions is 1000"),
        ({"seed": -1}, "seed of GenerationOptions is -1, but it should be a whole number from 0"),
        ({"min_p": True}, "min_p of GenerationOptions is True, but it should be a number from 0 to 1."),
        ({"max_tokens": 0}, "max_tokens of GenerationOptions is 0, but it should be a whole number from 1"),
        ({"max_tokens": None}, "max_tokens of GenerationOptions is None, but it should be a whole number from 1"),
        ({"stop": ("",)}, "stop of GenerationOptions is ('',), but it should be up to 16 texts of 1 to 200 characters"),
        ({"stop": 7}, "stop of GenerationOptions is 7, but it should be up to 16 texts of 1 to 200 characters"),
    ],
)
def test_options_that_cannot_be_are_refused_where_they_are_made(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        GenerationOptions(**options)
    assert str(raised.value).startswith(message)


def test_numbers_of_numpy_and_lists_of_stop_strings_are_accepted() -> None:
    options = GenerationOptions(temperature=np.float32(0.5), top_k=np.int64(3), stop=["a", "a", "b"])  # type: ignore[arg-type]
    assert options.stop == ("a", "b")
    assert GenerationOptions(stop="###").stop == ("###",)  # type: ignore[arg-type]
    assert hash(options) == hash(options)


@pytest.mark.parametrize("name", sorted(RANGES))
def test_the_ends_of_each_range_are_the_same_everywhere(name: str) -> None:
    numbers = RANGES[name]
    smallest = 1e-9 if numbers.above else numbers.low
    for value in (smallest, numbers.high):
        assert getattr(GenerationOptions(**{name: value}), name) == value  # type: ignore[arg-type]
        assert getattr(Settings(**{name: value}), name) == value  # type: ignore[arg-type]
        assert parse_value(name, str(value), "/set") == value
    for value in (numbers.low if numbers.above else numbers.low - 1, numbers.high + 1):
        for make in (lambda value: GenerationOptions(**{name: value}), lambda value: load({name: value})):
            with pytest.raises(ConfigError, match=str(numbers)):
                make(value)
