"""Hidden states of the training decoder, as the text head uses them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from skills.emotions.text import PROMPT_PREFIX, PROMPT_SUFFIX, rms_normalize
from training import emotion_states
from training.emotion_states import HiddenStates, write_chunk

TEXTS = ("is there a dog", "yes", "what is in the picture: a cat, a dog or a bird")


@pytest.fixture
def hidden_states(decoder_folder: Path, monkeypatch: pytest.MonkeyPatch) -> HiddenStates:
    """Hidden states after the first layer of the tiny decoder, which has two."""
    monkeypatch.setattr(emotion_states, "LAYERS", (1,))
    return HiddenStates(decoder_folder, torch.float32)


def test_states_equal_those_of_transformers(hidden_states: HiddenStates, decoder_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(decoder_folder)
    model = AutoModelForCausalLM.from_pretrained(decoder_folder, dtype=torch.float32)
    for text, pooled in zip(TEXTS, hidden_states(TEXTS), strict=True):
        prefix, ids, suffix = (
            tokenizer(part, add_special_tokens=False)["input_ids"] for part in (PROMPT_PREFIX, text, PROMPT_SUFFIX)
        )
        with torch.inference_mode():
            output = model(torch.tensor([[*prefix, *ids, *suffix]]), output_hidden_states=True)
        states = rms_normalize(output.hidden_states[1][0].numpy())
        mean = states[len(prefix) : len(prefix) + len(ids)].mean(0)
        # The result is float16, which has three decimals.
        assert np.allclose(pooled[0], np.stack([mean, states[-1]]), atol=5e-3)


def test_states_do_not_depend_on_the_other_texts_of_a_batch(hidden_states: HiddenStates) -> None:
    together = hidden_states(TEXTS)
    alone = np.concatenate([hidden_states([text]) for text in TEXTS])
    assert np.allclose(together, alone, atol=5e-3)


def test_a_written_chunk_leaves_no_partial_file(tmp_path: Path) -> None:
    states = np.ones((2, 3, 2, 4), np.float16)
    write_chunk(states, tmp_path / "states-dev-000.npy")
    assert np.array_equal(np.load(tmp_path / "states-dev-000.npy"), states)
    assert [path.name for path in tmp_path.iterdir()] == ["states-dev-000.npy"]
