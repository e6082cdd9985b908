"""The scripted model: its echo and the way it counts tokens."""

import threading

from assistant.messages import user
from assistant.models.base import GenerationOptions, ModelInfo
from assistant.models.scripted import IMAGE_TOKENS, ScriptedModel
from tests.fakes.conversation import CAT


def test_it_echoes_when_its_script_is_over_and_counts_images() -> None:
    model = ScriptedModel()
    stream = model.stream([user("Look.", CAT)], GenerationOptions(), threading.Event())
    chunks = []
    while True:
        try:
            chunks.append(next(stream))
        except StopIteration as end:
            usage = end.value
            break
    assert "".join(chunks) == "You said: Look. (and showed cat.png)"
    assert usage.prompt_tokens == IMAGE_TOKENS + 1
    assert model.info == ModelInfo("scripted", "cpu", "none", 4096)
