"""Read `generation_config.json`: how the makers of a model want its replies sampled, and which tokens end them.

A model with a broken file works all the same: values that are none are left out, and said in one notice.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from assistant.models.base import GenerationOptions
from assistant.parsing import ParseError, parse_json, read_bounded
from assistant.settings import SAMPLING, Settings
from assistant.text_cleaning import clean_line

_FILE = "generation_config.json"
# Vocabularies have fewer tokens.
_MAX_TOKEN_ID = 2**31


@dataclass(frozen=True)
class GenerationDefaults:
    """The generation config of a model.

    Attributes:
        options: Sampling options. Without a temperature, replies are decoded greedily.
        eos_token_ids: Tokens that end a reply.
    """

    options: GenerationOptions = field(default_factory=GenerationOptions)
    eos_token_ids: tuple[int, ...] = ()


def read_generation_config(folder: Path, config: Any, name: str) -> tuple[GenerationDefaults, str]:
    """Return the generation config in `folder`, and a notice about what of it cannot be used, empty if all can.

    Args:
        folder: Folder of the model.
        config: Transformers' configuration of the model; older models have these values there.
        name: Name of the model, for the notice.
    """
    wrong: list[str] = []
    try:
        values = parse_json(read_bounded(folder / _FILE))
    except FileNotFoundError:
        values = _set_values(config)
    except (OSError, ParseError):
        values = None
    if not isinstance(values, Mapping):
        notice = f"The {_FILE} of {name} cannot be read: replies are decoded without it."
        return GenerationDefaults(eos_token_ids=_eos_token_ids(_set_values(config), wrong)), notice
    sampling = dict(_sampling(values, wrong))
    return GenerationDefaults(GenerationOptions(**sampling), _eos_token_ids(values, wrong)), _notice(name, wrong)


def _set_values(config: Any) -> dict[str, Any]:
    """Return the values of a configuration and of its language model that are not None."""
    both = (config.get_text_config(), config)
    return {key: value for each in both for key, value in each.to_dict().items() if value is not None}


def _eos_token_ids(values: Mapping[str, Any], wrong: list[str]) -> tuple[int, ...]:
    tokens = values.get("eos_token_id")
    ids = tokens if isinstance(tokens, list) else [] if tokens is None else [tokens]
    if not all(map(_is_token_id, ids)):
        wrong.append(_quoted("eos_token_id", tokens))
    return tuple(filter(_is_token_id, ids))


def _sampling(values: Mapping[str, Any], wrong: list[str]) -> Iterator[tuple[str, Any]]:
    """Yield the sampling options among `values`; those that are none are added to `wrong`."""
    do_sample = values.get("do_sample")
    if not isinstance(do_sample, bool | None):
        wrong.append(_quoted("do_sample", do_sample))
    samples = do_sample is True
    for option in SAMPLING:
        value = values.get(option)
        if value is not None:
            try:
                value = getattr(Settings(**{option: value}), option)
            except ValidationError:
                wrong.append(_quoted(option, value))
                value = None
        if option == "temperature":
            # Without `do_sample` the file is for greedy decoding, whatever else it has.
            value = (1.0 if value is None else value) if samples else None
        if value is not None:
            yield option, value


def _is_token_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_TOKEN_ID


def _quoted(key: str, value: object) -> str:
    return f"{key} = {clean_line(json.dumps(value, default=str), 40)}"


def _notice(name: str, wrong: list[str]) -> str:
    if not wrong:
        return ""
    are = "is no value that can be used and is" if len(wrong) == 1 else "are no values that can be used and are"
    return f"In the {_FILE} of {name}, {', '.join(wrong[:4])} {are} left out."
