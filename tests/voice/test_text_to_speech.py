"""Voices: the promises of `TextToSpeech`, kept by every engine that this machine has."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from assistant.errors import ConfigError, MissingExtraError, VoiceError
from assistant.settings import load
from tests.voice.conftest import Floats
from voice import coqui, espeak, piper
from voice.text_to_speech import TextToSpeech, language_of, sentences, speak

needs_coqui = (
    pytest.mark.gpu_stack,
    # Its own deprecations are not ours to mend.
    pytest.mark.filterwarnings("ignore"),
)
needs_espeak = pytest.mark.skipif(shutil.which(espeak.PROGRAM) is None, reason="the program espeak-ng is not installed")

SENTENCE = "The cat sleeps in the sun, and nobody wakes it."


def random_vits(folder: Path) -> Path:
    """A Coqui voice of the real kind, small and untrained: it speaks noise of the right length."""
    import torch
    from TTS.tts.configs.vits_config import VitsConfig
    from TTS.tts.models.vits import Vits, VitsArgs

    layers = {"num_layers_text_encoder": 2, "num_layers_flow": 2, "num_layers_posterior_encoder": 2}
    widths = {"hidden_channels": 32, "hidden_channels_ffn_text_encoder": 64, "upsample_initial_channel_decoder": 64}
    config = VitsConfig(
        model_args=VitsArgs(init_discriminator=False, use_sdp=False, **layers, **widths), use_phonemes=False
    )
    torch.manual_seed(0)
    torch.save({"model": Vits(config).state_dict(), "step": 0}, folder / "best_model.pth")
    config.save_json(str(folder / "config.json"))
    return folder


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("piper", marks=pytest.mark.slow),
        pytest.param("espeak", marks=needs_espeak),
        pytest.param("coqui", marks=needs_coqui),
    ],
)
def voice(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TextToSpeech]:
    loaded: TextToSpeech
    match request.param:
        case "piper":
            loaded = piper.Piper.load(piper.fetch_embedded(load().settings.cache_dir, lambda *_: None))
        case "espeak":
            loaded = espeak.Espeak.load()
        case _:
            loaded = coqui.Coqui.load(str(random_vits(tmp_path_factory.mktemp("vits"))), device="cpu")
    yield loaded
    loaded.close()
    loaded.close()


def test_a_sentence_is_sound_and_a_longer_one_is_longer(voice: TextToSpeech) -> None:
    short = np.concatenate(list(voice.synthesize("Yes.")))
    pieces = list(voice.synthesize(SENTENCE))
    long = np.concatenate(pieces)
    assert voice.sample_rate >= 16_000
    assert all(piece.dtype == np.float32 and piece.ndim == 1 for piece in pieces)
    assert 0.001 < np.abs(long).max() <= 1.0
    assert long.size > 1.5 * short.size
    assert 0.2 < long.size / voice.sample_rate < 8.0


@pytest.mark.parametrize(
    "text", ["", " ", "…", "[[", "-v xx", "<speak>", "日本", "\x00", "é" * 500], ids=lambda text: ascii(text[:9])
)
def test_any_text_is_taken(text: str, voice: TextToSpeech) -> None:
    assert all(np.isfinite(piece).all() for piece in voice.synthesize(text))


def test_one_that_was_left_early_is_followed_by_the_next(voice: TextToSpeech) -> None:
    sound = voice.synthesize(SENTENCE * 20)
    next(sound)
    sound.close()  # type: ignore[attr-defined]
    assert next(voice.synthesize("Yes.")).size


def test_a_text_is_spoken_sentence_by_sentence_as_it_arrives(voice: TextToSpeech) -> None:
    arrived: list[str] = []

    def written() -> Iterator[str]:
        for part in ("It is a cat. ", "It sleeps.", " It is **grey**."):
            arrived.append(part)
            yield part

    sound = speak(written(), voice)
    assert next(sound).size
    assert len(arrived) == 2
    assert sum(samples.size for samples in sound) > voice.sample_rate / 4
    assert list(speak(["—"], voice)) == []


@needs_espeak
def test_a_voice_of_one_language_reads_in_that_whatever_was_spoken_to_it() -> None:
    english, german = espeak.Espeak.load("en-us"), espeak.Espeak.load("de")
    assert (language_of(english, "de"), language_of(german, "en")) == ("en", "de")

    class AnyLanguage:
        sample_rate = 16_000

        def synthesize(self, sentence: str) -> Iterator[Floats]:
            yield np.zeros(len(sentence), np.float32)

        def close(self) -> None:
            pass

    assert language_of(AnyLanguage(), "de") == "de"
    # Its numbers are put into words in English, and left to the other voice.
    longer = sum(samples.size for samples in speak(["5 kg"], AnyLanguage(), "en"))
    assert longer > sum(samples.size for samples in speak(["5 kg"], AnyLanguage(), "de"))


def test_what_is_said_of_a_text() -> None:
    text = "# Cats\n\nThey cost **$5**. See [this](http://a.b).\n\n| a | b |\n|---|---|\n\n```\nx\n```\n\n👍"
    assert list(sentences([text])) == [
        "Cats.",
        "They cost 5 dollars.",
        "See this.",
        "a, b.",
        "Code left out.",
        "thumbs up.",
    ]


def test_a_missing_program_or_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(MissingExtraError, match="apt install espeak-ng"):
        espeak.Espeak.load()
    for package, load_voice, said in (
        ("piper", lambda: piper.Piper.load(tmp_path / "x.onnx"), r"parley-assistant\[voice\]"),
        ("TTS.api", lambda: coqui.Coqui.load(str(tmp_path)), r"parley-assistant\[coqui\]"),
    ):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(MissingExtraError, match=said):
            load_voice()


@needs_espeak
def test_a_voice_that_espeak_does_not_have() -> None:
    with pytest.raises(VoiceError, match="no voice 'xx'"):
        espeak.Espeak.load("xx")


@pytest.mark.skipif(not piper.is_installed(), reason="piper-tts is not installed")
def test_a_file_that_is_no_piper_voice(tmp_path: Path) -> None:
    model = tmp_path / "voice.onnx"
    with pytest.raises(VoiceError, match=r"no file .*voice\.onnx"):
        piper.Piper.load(model)
    model.write_bytes(b"no model")
    for config in ("no json", "{}"):
        Path(f"{model}.json").write_text(config)
        with pytest.raises(VoiceError, match="is no Piper voice"):
            piper.Piper.load(model)


@needs_coqui[0]
@needs_coqui[1]
def test_what_is_no_coqui_voice(tmp_path: Path) -> None:
    with pytest.raises(VoiceError, match=r"no config\.json"):
        coqui.Coqui.load(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(VoiceError, match="no checkpoint"):
        coqui.Coqui.load(str(tmp_path))
    (tmp_path / "model.pth").write_bytes(b"no weights")
    with pytest.raises(VoiceError, match="cannot be loaded"):
        coqui.Coqui.load(str(tmp_path))
    for name in ("nobody", "tts_models/en/nobody/vits", "tts_models/multilingual/multi-dataset/xtts_v2"):
        with pytest.raises(ConfigError):
            coqui.Coqui.load(name)
