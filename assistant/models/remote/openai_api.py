"""The OpenAI chat completions API: messages out; chunks, model lists and errors in.

vLLM, SGLang, llama.cpp, Ollama, LM Studio and `transformers serve` agree on requests and chunks. Each has its own way
to report the length of its context, and a prompt that exceeds it.
"""

import base64
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import PIL.Image
from pydantic import BaseModel, ConfigDict, Field

from assistant.attachments.images import decode
from assistant.errors import ModelError
from assistant.messages import Audio, Image, Message, Text

MAX_IMAGE_SIDE = 2048
"""Pixels. Larger images are scaled down before they are sent, as OpenAI's own service does with them."""

_JPEG_QUALITY = 95
_END_OF_STREAM = "[DONE]"


class _Response(BaseModel):
    # Servers add fields of their own everywhere.
    model_config = ConfigDict(extra="ignore", frozen=True)


class PromptDetails(_Response):
    """Use of the server's prompt cache."""

    cached_tokens: int | None = None


class ServerUsage(_Response):
    """Token counts of the server."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: PromptDetails | None = None


class Delta(_Response):
    """New text of a reply."""

    content: str | None = None


class Choice(_Response):
    """One of the replies requested; Parley requests one."""

    delta: Delta = Delta()
    finish_reason: str | None = None


class Chunk(_Response):
    """One event of a streamed reply."""

    choices: list[Choice] = Field(default_factory=list)
    usage: ServerUsage | None = None
    object: str | None = None
    error: Any = None

    @property
    def text(self) -> str:
        """New text; often empty."""
        return (self.choices[0].delta.content or "") if self.choices else ""

    @property
    def failed(self) -> bool:
        """True if this event reports an error that ends the reply."""
        return self.error is not None or self.object == "error"

    @property
    def finished(self) -> bool:
        """True if the reply is complete."""
        return bool(self.choices and self.choices[0].finish_reason)


FINISHED = Chunk(choices=[Choice(finish_reason="done")])
"""The chunk for the end marker of a stream."""


class ServerModel(_Response):
    """A model in the server's list."""

    id: str
    max_model_len: int | None = None
    context_length: int | None = None
    meta: dict[str, Any] | None = None

    @property
    def context_tokens(self) -> int:
        """Longest prompt and reply together; 0 if the server does not report it."""
        # llama.cpp also reports the context of the training, which is not the one it was started with.
        reported = (self.max_model_len, self.context_length, (self.meta or {}).get("n_ctx"))
        return next((count for count in reported if isinstance(count, int) and count > 0), 0)

    @property
    def is_chat_model(self) -> bool:
        """False for embedding models, which LM Studio and Ollama list as well."""
        return "embed" not in self.id.lower()


class _ServerModelList(_Response):
    data: list[ServerModel]


def parse_chunk(data: str) -> Chunk:
    """Parse the data of an event. Raises `ValueError`."""
    return FINISHED if data.strip() == _END_OF_STREAM else Chunk.model_validate_json(data)


def parse_models(body: bytes) -> list[ServerModel]:
    """Parse a response of `/models`. Raises `ValueError`."""
    return _ServerModelList.model_validate_json(body).data


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


def data_url(image: Image) -> str:
    """Encode `image` as a data URL: upright, on white, at most `MAX_IMAGE_SIDE` pixels wide and high.

    Re-encoded from the pixels, because servers read fewer formats than Parley, ignore EXIF rotation, and need not learn
    where a photo was taken. Raises `AttachmentError` if the image cannot be decoded.
    """
    pixels = decode(image)
    pixels.thumbnail((MAX_IMAGE_SIDE, MAX_IMAGE_SIDE), PIL.Image.Resampling.LANCZOS)
    data = io.BytesIO()
    if image.media_type == "image/jpeg":
        subtype = "jpeg"
        pixels.save(data, "JPEG", quality=_JPEG_QUALITY)
    else:
        subtype = "png"
        pixels.save(data, "PNG")
    return f"data:image/{subtype};base64,{base64.b64encode(data.getvalue()).decode()}"


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
