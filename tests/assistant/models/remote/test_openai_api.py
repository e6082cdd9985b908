"""The format of OpenAI's chat completions."""

import base64
import io

import PIL.Image
import pytest

from assistant.attachments.images import ImageLoader
from assistant.models.data_urls import MAX_IMAGE_SIDE, data_url
from assistant.models.remote.openai_api import parse_context_overflow


def test_a_photo_is_sent_upright_scaled_down_and_without_metadata() -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    exif[0x010F] = "A camera that knows where it was"
    data = io.BytesIO()
    PIL.Image.new("RGB", (3000, 1000), "red").save(data, "JPEG", exif=exif)
    url = data_url(ImageLoader().load_bytes(data.getvalue(), "photo.jpg").image)
    media_type, _, body = url.partition(",")
    assert media_type == "data:image/jpeg;base64"
    with PIL.Image.open(io.BytesIO(base64.b64decode(body))) as sent:
        assert sent.size == (683, MAX_IMAGE_SIDE)
        assert not sent.getexif()


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            (
                "This model's maximum context length is 16384 tokens. However, you requested 122946 tokens (112946 "
                "in the messages, 10000 in the completion). Please reduce the length of the messages or completion."
            ),
            (112946, 16384),
        ),
        (
            (
                "'max_tokens' or 'max_completion_tokens' is too large: 512. This model's maximum context length is "
                "4096 tokens and your request has 4000 input tokens (512 > 4096 - 4000)."
            ),
            (4000, 4096),
        ),
        (
            (
                "The prompt (total length 25938) is too long to fit into the model (context length 4096). Make "
                "sure that `max_model_len` is no smaller than the number of text tokens plus multimodal tokens."
            ),
            (25938, 4096),
        ),
        (
            (
                "The decoder prompt (length 5000) is longer than the maximum model length of 4096. Make sure that "
                "`max_model_len` is no smaller than the number of text tokens plus multimodal tokens."
            ),
            (5000, 4096),
        ),
        (
            (
                "Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a "
                "total of 5000 tokens: 4488 tokens from the input messages and 512 tokens for the completion."
            ),
            (4488, 4096),
        ),
        ("The input (5000 tokens) is longer than the model's context length (4096 tokens).", (5000, 4096)),
        (
            (
                "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded "
                "with context length of only 4096 tokens, which is not enough."
            ),
            (5000, 4096),
        ),
        (
            (
                '{"error":{"code":400,"message":"the request exceeds the available context size. try increasing '
                'the context size or enable context shift","type":"exceed_context_size_error",'
                '"n_prompt_tokens":14429,"n_ctx":8192}}'
            ),
            (14429, 8192),
        ),
        ("Requested tokens exceed context window", (0, 0)),
        ("CUDA out of memory", None),
        ("Unauthorized", None),
    ],
)
def test_a_context_overflow_is_recognized_in_the_words_of_every_server(
    message: str, expected: tuple[int, int] | None
) -> None:
    assert parse_context_overflow(message) == expected
