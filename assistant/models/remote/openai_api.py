"""The OpenAI chat completions API: messages out; model lists and errors in. `chunks` has the replies.

vLLM, SGLang, llama.cpp, Ollama, LM Studio and `transformers serve` agree on requests and chunks. Each has its own way
to report the length of its context, and a prompt that exceeds it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any

from assistant.errors import ModelError
from assistant.messages import Audio, Image, Message, Text
from assistant.models.base import GenerationOptions
from assistant.models.remote.json_values import as_count, as_dict, as_list, as_text, parse_json

_GROUNDING_MODELS = re.compile(r"qwen3[-_.]?vl", re.IGNORECASE)


@dataclass(frozen=True)
class ServerModel:
    """A model in the server's list.

    Attributes:
        id: Its id, unchanged: the server knows it by nothing else.
        context_tokens: Longest prompt and reply together; 0 if the server does not report it.
    """

    id: str
    context_tokens: int = 0

    @property
    def is_chat_model(self) -> bool:
        """False for embedding models, which LM Studio and Ollama list as well."""
        return "embed" not in self.id.lower()


def parse_models(body: bytes) -> list[ServerModel]:
    """Parse a response of `/models`. Raises `ValueError`."""
    value = parse_json(body)
    if not isinstance(value, dict) or not isinstance(value.get("data"), list | NoneType):
        raise ValueError("no list of models")  # noqa: TRY004 - callers expect one type
    listed = as_list(value["data"]) if "data" in value else [None]
    models = {model.id: model for model in map(_read_model, listed) if model.id}
    if listed and not models:
        raise ValueError("no list of models")
    return list(models.values())


def _read_model(value: Any) -> ServerModel:
    model = as_dict(value)
    # llama.cpp also reports the context of the training, which is not the one it was started with.
    reported = (model.get("max_model_len"), model.get("context_length"), as_dict(model.get("meta")).get("n_ctx"))
    return ServerModel(as_text(model.get("id")), next(filter(None, map(as_count, reported)), 0))


def supports_grounding(model_id: str) -> bool:
    """Return True for a model that draws boxes: the API does not tell what a model can do, only its name."""
    return _GROUNDING_MODELS.search(model_id) is not None


def to_openai_message(message: Message, data_urls: Mapping[str, str]) -> dict[str, Any]:
    """Convert `message` to the API's format. Raises `ModelError` for audio.

    Args:
        message: The message.
        data_urls: Data URL of each of its images, by digest.
    """
    parts: list[dict[str, Any]] = []
    for part in message.parts:
        match part:
            case Text():
                parts.append({"type": "text", "text": part.text})
            case Image():
                parts.append({"type": "image_url", "image_url": {"url": data_urls[part.digest]}})
            case Audio():
                raise ModelError("Audio cannot be sent to a server: type the message instead.")
    # Every server and chat template accepts a plain string.
    return {"role": message.role, "content": parts if message.images else message.text}


def sampling_parameters(options: GenerationOptions) -> dict[str, Any]:
    """Return the options that are set, under the names of the API.

    `top_k`, `min_p` and the repetition penalty are extensions. The last has one name in vLLM and SGLang, and another in
    llama.cpp and LM Studio; each ignores the other's.
    """
    parameters = {
        "temperature": options.temperature,
        "top_p": options.top_p,
        "top_k": options.top_k,
        "min_p": options.min_p,
        "repetition_penalty": options.repetition_penalty,
        "repeat_penalty": options.repetition_penalty,
        "presence_penalty": options.presence_penalty,
        "stop": list(options.stop) or None,
        "seed": options.seed,
        # The first is that of vLLM, SGLang and llama.cpp, the second that of OpenAI and Ollama.
        "chat_template_kwargs": {"enable_thinking": False} if options.reasoning == "off" else None,
        "reasoning_effort": "none" if options.reasoning == "off" else None,
    }
    return {name: value for name, value in parameters.items() if value is not None}


_OVERFLOW = re.compile(
    r"exceed_context_size|context_length_exceeded|context (?:length|size|window)|model(?:'s)? (?:maximum )?length|"
    r"max_model_len|too many tokens|prompt is too long",
    re.IGNORECASE,
)
# Wordings of vLLM (three versions), SGLang, llama.cpp, LM Studio and OpenAI.
_CONTEXT_TOKENS = (
    r"maximum context length (?:is|of) (\d+)",
    r"context (?:length|size|window) (?:of only |of )?\(?(\d+)",
    r"(?:model|maximum) (?:model )?length of (\d+)",
)
_PROMPT_TOKENS = (
    r"has (?:at least )?(\d+) input tokens",
    r"contains (?:at least )?(\d+) (?:input )?tokens",
    r"\((\d+) in the messages",
    r"(\d+) tokens from the input",
    r"resulted in (\d+) tokens",
    r"(?:input|request|prompt) \((?:total )?(?:length )?(\d+)",
    r"first (\d+) tokens",
)


def parse_context_overflow(body: bytes | str) -> tuple[int, int] | None:
    """Return (prompt_tokens, context_tokens) if an error says that the prompt exceeds the context; 0 for unknown.

    None for every other error.
    """
    text = body.decode(errors="replace") if isinstance(body, bytes) else body
    if not _OVERFLOW.search(text):
        return None
    prompt_tokens = _first_number(text, (r'"n_prompt_tokens": ?(\d+)', *_PROMPT_TOKENS))
    return prompt_tokens, _first_number(text, (r'"n_ctx": ?(\d+)', *_CONTEXT_TOKENS))


def _first_number(text: str, patterns: Sequence[str]) -> int:
    match = next(filter(None, (re.search(pattern, text) for pattern in patterns)), None)
    return int(match[1]) if match else 0
