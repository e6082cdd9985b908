"""A chat model on a server with OpenAI's API: vLLM, SGLang, llama.cpp, Ollama, LM Studio and others.

    messages -> JSON, images as data URLs -> POST /chat/completions or /responses -> events -> items -> usage
                                  ^                   |
                                  +----- retry -------+ while no text has come and the error is retryable

The server holds the weights, the prompt cache and the queue of requests. The client holds only the key.
"""

import threading
from collections.abc import Generator, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from assistant.errors import ContextOverflow
from assistant.events import Usage
from assistant.messages import Message
from assistant.models.base import MIN_RESPONSE_TOKENS, GenerationOptions, ModelInfo, ReplyItem
from assistant.models.data_urls import data_url
from assistant.models.remote.dialect import Dialect, Negotiation
from assistant.models.remote.http_client import READ_TIMEOUT, ApiClient
from assistant.models.remote.model_list import (
    UNAUTHORIZED,
    list_models,
    missing_model,
    reporting,
    select_model,
    unauthorized,
)
from assistant.models.remote.openai_api import (
    parse_context_overflow,
    sampling_parameters,
    supports_grounding,
    to_openai_message,
)
from assistant.models.remote.retries import RETRY_DELAYS, RetryPolicy, ServerError
from assistant.models.remote.streamed_reply import StreamedReply
from assistant.models.think_tags import opened
from assistant.progress import OnNotice, Progress, no_notice, no_progress
from assistant.text_cleaning import valid_unicode


class RemoteModel:
    """A `ChatModel` behind a server."""

    def __init__(
        self,
        client: ApiClient,
        name: str,
        context_tokens: int = 0,
        retry_delays: tuple[float, ...] = RETRY_DELAYS,
        on_notice: OnNotice = no_notice,
        listed: Sequence[str] = (),
    ) -> None:
        """Use the model `name` on the server.

        Args:
            client: Client of the server's API.
            name: Id of the model there.
            context_tokens: Longest prompt and reply together; 0 if unknown.
            retry_delays: Seconds before each further attempt after a retryable error.
            on_notice: Receives a sentence if the server refuses an option of the user.
            listed: Ids of all models there, to suggest one of.
        """
        draws_boxes = supports_grounding(name)
        self.info = ModelInfo(name, client.host, "unknown", context_tokens, supports_grounding=draws_boxes)
        self._client = client
        self._id = valid_unicode(name)
        self._retry_delays = retry_delays
        self._on_notice = on_notice
        self._listed = listed
        # A list, so that copies of this model, which ask the same server, learn together.
        self._learned = [Dialect()]
        self._data_urls: dict[str, str] = {}

    @classmethod
    def connect(
        cls,
        base_url: str,
        *,
        model: str | None = None,
        key: str | None = None,
        key_variable: str = "PARLEY_API_KEY",
        progress: Progress = no_progress,
        read_timeout: float = READ_TIMEOUT,
        retry_delays: tuple[float, ...] = RETRY_DELAYS,
        on_notice: OnNotice = no_notice,
    ) -> "RemoteModel":
        """Ask a server for its models and select one. Blocks until the server answers.

        Args:
            base_url: Address of the API, usually ending in `/v1`.
            model: Id of the model; necessary only if the server has several.
            key: API key.
            key_variable: Environment variable that holds the key, for messages; empty if the settings name none.
            progress: Called repeatedly during the wait; an exception it raises ends the wait.
            read_timeout: Seconds without a byte from the server after which a request fails.
            retry_delays: Seconds before each further attempt after a retryable error.
            on_notice: Receives a sentence if the server refuses an option of the user.

        Raises:
            ModelError: The server does not answer, or does not have the model.
            ConfigError: `base_url` or `key` is invalid.
        """
        client = ApiClient(base_url, key, read_timeout=read_timeout, key_variable=key_variable)
        models = list_models(client, RetryPolicy(retry_delays), reporting(client, progress), required=model is None)
        selected = select_model(models, model, client.base_url)
        listed = [each.id for each in models]
        return cls(client, selected.id, selected.context_tokens, retry_delays, on_notice, listed)

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
    ) -> Generator[ReplyItem, None, Usage]:
        response = StreamedReply(self._client, options.max_tokens)
        request = self._build_request(messages, options)
        retries = RetryPolicy(self._retry_delays)
        negotiation = Negotiation(self._learned[0], request)
        while not stop.is_set():
            try:
                reply = response.stream_once(negotiation.dialect, request, stop)
                yield from opened(reply) if self._learned[0].opens_reasoning else reply
                break
            except ServerError as error:
                if response.has_text:
                    raise
                if (overflow := _context_overflow(error)) is not None:
                    _fit_max_tokens(request, *overflow)
                elif not negotiation.adapt(error):
                    self._raise_if_fixable(error)
                    retries.wait(error, stop.is_set)
            finally:
                if response.accepted:
                    self._learn(negotiation.dialect, request)
        return response.usage()

    def on_unopened_reasoning(self) -> None:
        self._learned[0] = replace(self._learned[0], opens_reasoning=True)

    def close(self) -> None:
        self._data_urls = {}

    def _build_request(self, messages: Sequence[Message], options: GenerationOptions) -> dict[str, Any]:
        images = {image.digest: image for message in messages for image in message.images}
        # Images still in the conversation are encoded once; the others are forgotten.
        self._data_urls = {digest: self._data_urls.get(digest) or data_url(image) for digest, image in images.items()}
        return {
            "model": self._id,
            "messages": [to_openai_message(message, self._data_urls) for message in messages],
            "max_tokens": options.max_tokens,
            **sampling_parameters(options),
            "stream": True,
            "stream_options": {"include_usage": True},
        }

    def _learn(self, dialect: Dialect, request: dict[str, Any]) -> None:
        """Remember what the server accepts, and tell the user once what it does not."""
        for notice in dialect.notices(self._learned[0], request):
            self._on_notice(notice)
        self._learned[0] = replace(dialect, opens_reasoning=self._learned[0].opens_reasoning)

    def _raise_if_fixable(self, error: ServerError) -> None:
        """Raise a more helpful `ModelError` if the key or the model's name is wrong."""
        if error.status in UNAUTHORIZED:
            raise unauthorized(self._client, error)
        message = self._client.words.error_message(error.body)
        if error.status == HTTPStatus.NOT_FOUND and self.info.name in message:
            raise missing_model(self._client, self.info.name, self._listed, message) from error


def _context_overflow(error: ServerError) -> tuple[int, int] | None:
    """Return (prompt_tokens, context_tokens), 0 for unknown, if `error` says that the prompt is too long."""
    return (0, 0) if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else parse_context_overflow(error.body)


def _fit_max_tokens(request: dict[str, Any], prompt_tokens: int, context_tokens: int) -> None:
    """Lower the request's `max_tokens` to what the context has left.

    Raises `ContextOverflow` if that is too little for a reply, or unknown.
    """
    max_tokens = request["max_tokens"]
    available = context_tokens - prompt_tokens
    min_response = min(MIN_RESPONSE_TOKENS, max_tokens, context_tokens // 4)
    if not prompt_tokens or available >= max_tokens or available < min_response:
        raise ContextOverflow(prompt_tokens, max(0, context_tokens - min_response))
    request["max_tokens"] = available
