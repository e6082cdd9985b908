"""What is said to servers with OpenAI's chat completions, and what they say: messages out, chunks, lists and errors in.

vLLM, SGLang, llama.cpp, Ollama, LM Studio and `transformers serve` agree on the requests and the chunks. How long a
context is and that a prompt does not fit, each says in its own way; those are read here.
"""

import base64
import io
import re
from collections.abc import Sequence
from typing import Any

import PIL.Image
from pydantic import BaseModel, ConfigDict, Field

from assistant.attachments.images import decode
from assistant.errors import ModelError
from assistant.messages import Audio, Image, Message, Text

MAX_IMAGE_SIDE = 2048
"""Larger pictures are scaled down to this many pixels before they are sent, as OpenAI's own service does with them."""

_JPEG_QUALITY = 95
_DONE = "[DONE]"


class _Read(BaseModel):
    # Servers add fields of their own everywhere.
    model_config = ConfigDict(extra="ignore", frozen=True)


class PromptDetails(_Read):
    """What a server says about its prompt cache."""

    cached_tokens: int | None = None


class ServerUsage(_Read):
    """Tokens as a server counts them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: PromptDetails | None = None


class Delta(_Read):
    """The next piece of a reply."""

    content: str | None = None


class Choice(_Read):
    """One of the replies asked for; there is only one."""

    delta: Delta = Delta()
    finish_reason: str | None = None


class Chunk(_Read):
    """One event of a reply being written."""

    choices: list[Choice] = Field(default_factory=list)
    usage: ServerUsage | None = None
    object: str | None = None
    error: Any = None

    @property
    def text(self) -> str:
        """The next piece; often empty."""
        return (self.choices[0].delta.content or "") if self.choices else ""

    @property
    def failed(self) -> bool:
        """Whether this is no piece of a reply but the reason why there will be no more."""
        return self.error is not None or self.object == "error"

    @property
    def finished(self) -> bool:
        """Whether the server says that the reply is complete."""
        return bool(self.choices and self.choices[0].finish_reason)


DONE = Chunk(choices=[Choice(finish_reason="done")])
"""What the marker at the end of a stream stands for."""


class ServerModel(_Read):
    """One model of a server."""

    id: str
    max_model_len: int | None = None
    context_length: int | None = None
    meta: dict[str, Any] | None = None

    @property
    def context_tokens(self) -> int:
        """The longest prompt and reply together, 0 where the server does not tell."""
        # llama.cpp also names the context of the training, which is not the one it was started with.
        told = (self.max_model_len, self.context_length, (self.meta or {}).get("n_ctx"))
        return next((count for count in told if isinstance(count, int) and count > 0), 0)

    @property
    def chats(self) -> bool:
        """Whether it can answer: LM Studio and Ollama list models that only make embeddings beside the others."""
        return "embed" not in self.id.lower()


class ServerModelList(_Read):
    """All models of a server."""

    data: list[ServerModel]


def parse_chunk(data: str) -> Chunk:
    """The chunk in the data of an event. Raises `ValueError` if it is none."""
    return DONE if data.strip() == _DONE else Chunk.model_validate_json(data)


def parse_models(body: bytes) -> list[ServerModel]:
    """The models in an answer to `/models`. Raises `ValueError` if it is none."""
    return ServerModelList.model_validate_json(body).data


def written(message: Message, pictures: dict[str, str]) -> dict[str, Any]:
    """`message` as the API wants it, with the data URL in `pictures` for each digest. Raises `ModelError` for audio."""
    parts: list[dict[str, Any]] = []
    for part in message.parts:
        match part:
            case Text():
                parts.append({"type": "text", "text": part.text})
            case Image():
                parts.append({"type": "image_url", "image_url": {"url": pictures[part.digest]}})
            case Audio():
                raise ModelError("Recordings cannot be sent to a server: say it in words.")
    # Plain text is what every server and every chat template takes.
    return {"role": message.role, "content": parts if message.images else message.text}


def data_url(image: Image) -> str:
    """`image` as a data URL, as it is shown: upright, on white, at most `MAX_IMAGE_SIDE` pixels wide and high.

    Made anew from the pixels, because servers read fewer formats than Parley, heed no EXIF rotation, and need not
    learn where a photo was taken. Raises `AttachmentError` if it does not decode.
    """
    pixels = decode(image)
    pixels.thumbnail((MAX_IMAGE_SIDE, MAX_IMAGE_SIDE), PIL.Image.Resampling.LANCZOS)
    data = io.BytesIO()
    if image.media_type == "image/jpeg":
        kind = "jpeg"
        pixels.save(data, "JPEG", quality=_JPEG_QUALITY)
    else:
        kind = "png"
        pixels.save(data, "PNG")
    return f"data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode()}"


_OVERFLOW = re.compile(
    r"exceed_context_size|context_length_exceeded|context (?:length|size|window)|model(?:'s)? (?:maximum )?length|"
    r"max_model_len|too many tokens|prompt is too long",
    re.IGNORECASE,
)
# In the words of vLLM (three versions), SGLang, llama.cpp, LM Studio and OpenAI.
_LIMITS = (
    r"maximum context length (?:is|of) (\d+)",
    r"context (?:length|size|window) (?:of only |of )?\(?(\d+)",
    r"(?:model|maximum) (?:model )?length of (\d+)",
)
_PROMPTS = (
    r"has (?:at least )?(\d+) input tokens",
    r"contains (?:at least )?(\d+) (?:input )?tokens",
    r"\((\d+) in the messages",
    r"(\d+) tokens from the input",
    r"resulted in (\d+) tokens",
    r"(?:input|request|prompt) \((?:total )?(?:length )?(\d+)",
    r"first (\d+) tokens",
)


def parse_context_overflow(body: bytes | str) -> tuple[int, int] | None:
    """Tokens of the prompt and of the context, 0 where not told, if `body` says that the one exceeds the other."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else body
    if not _OVERFLOW.search(text):
        return None
    prompt = _number(text, (r'"n_prompt_tokens": ?(\d+)', *_PROMPTS))
    return prompt, _number(text, (r'"n_ctx": ?(\d+)', *_LIMITS))


def _number(text: str, patterns: Sequence[str]) -> int:
    found = next(filter(None, (re.search(pattern, text) for pattern in patterns)), None)
    return int(found[1]) if found else 0
