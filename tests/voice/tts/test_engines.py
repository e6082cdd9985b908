"""Voices: the promises of `TextToSpeech`, kept by every engine that this machine has."""

import json
import shutil
import sys
from collections.abc import Iterator
from ctypes.util import find_library
from pathlib import Path

import numpy as np
import pytest

from assistant.errors import ParleyError, ConfigError, MissingExtraError, VoiceError
from assistant.progress import no_progress
from assistant.settings import load
from parley.factory.voice import build_tts
from tests.fakes.audio import Floats, WriteWave, tone
from voice.tts import coqui, espeak, piper, xtts
from voice.tts.base import TextToSpeech, language_of, speak, spoken_sentences

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


def random_xtts(folder: Path) -> Path:
    """An XTTS of the real kind, small and untrained, that never says on its own that it is done. Its speaker is Ada."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from TTS.tts.configs.xtts_config import XttsConfig
    from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer
    from TTS.tts.models.xtts import Xtts, XttsArgs, XttsAudioConfig

    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[STOP]", "[UNK]", "[SPACE]", "[START]", "[en]", "[de]"]
    trainer = trainers.BpeTrainer(vocab_size=80, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([SENTENCE.lower(), "abcdefghijklmnopqrstuvwxyz"], trainer)
    tokenizer.save(str(folder / "vocab.json"))
    width = 64
    codes = {"gpt_num_audio_tokens": 36, "gpt_start_audio_token": 34, "gpt_stop_audio_token": 35}
    sizes = {"gpt_layers": 2, "gpt_n_model_channels": width, "gpt_n_heads": 4, "decoder_input_dim": width}
    longest = {"gpt_max_audio_tokens": 60, "gpt_max_text_tokens": 400}
    arguments = XttsArgs(
        **codes, **sizes, **longest, gpt_use_perceiver_resampler=True, tokenizer_file=str(folder / "vocab.json")
    )
    config = XttsConfig(model_args=arguments, audio=XttsAudioConfig(), languages=["en", "de"])
    torch.manual_seed(0)
    model = Xtts.init_from_config(config)
    model.tokenizer = VoiceBpeTokenizer(vocab_file=str(folder / "vocab.json"))
    model.init_models()
    with torch.no_grad():
        model.gpt.mel_head.bias[35] = -100.0
    torch.save({"model": model.state_dict()}, folder / "model.pth")
    ada = {"gpt_cond_latent": torch.randn(1, 32, width), "speaker_embedding": torch.randn(1, 512, 1)}
    torch.save({"Ada": ada}, folder / "speakers_xtts.pth")
    config.save_json(str(folder / "config.json"))
    return folder


@pytest.fixture(scope="module")
def xtts_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_xtts(tmp_path_factory.mktemp("xtts"))


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("piper", marks=pytest.mark.slow),
        pytest.param("espeak", marks=needs_espeak),
        pytest.param("coqui", marks=needs_coqui),
        pytest.param("xtts", marks=needs_coqui),
    ],
)
def voice(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TextToSpeech]:
    loaded: TextToSpeech
    match request.param:
        case "piper":
            loaded = piper.Piper.load(piper.fetch_bundled(load().settings.cache_dir, no_progress))
        case "espeak":
            loaded = espeak.Espeak.load()
        case "xtts":
            loaded = xtts.Xtts.load(str(request.getfixturevalue("xtts_folder")), device="cpu")
        case _:
            loaded = coqui.Coqui.load(str(random_vits(tmp_path_factory.mktemp("vits"))), device="cpu")
    yield loaded
    loaded.close()
    loaded.close()


def test_a_sentence_is_sound_and_a_longer_one_is_longer(voice: TextToSpeech) -> None:
    if isinstance(voice, xtts.Xtts):
        pytest.skip("untrained, it speaks for as long as it may, whatever it is given")
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
    assert list(spoken_sentences([text])) == [
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


@needs_espeak
def test_a_voice_there_is_not_is_told_with_one_there_is() -> None:
    with pytest.raises(VoiceError, match=r"no voice 'xx': choose one of its \d+ codes, of ISO 639, like .*\bde\b"):
        espeak.Espeak.load("xx")


@pytest.mark.parametrize(
    ("program", "said"),
    [("exit 3", "stopped with exit code 3"), ("kill -9 $$", "was killed"), (None, r"cannot be run \(")],
)
def test_a_program_that_fails_while_it_speaks_is_one_sentence(program: str | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "espeak-ng"
    if program is not None:
        path.write_text(f"#!/bin/sh\ncat > /dev/null\n{program}\n")
        path.chmod(0o755)
    with pytest.raises(VoiceError, match=said):
        list(espeak.Espeak(str(path), "en").synthesize("Hello."))


@pytest.mark.skipif(not piper.is_installed(), reason="piper-tts is not installed")
def test_a_model_of_another_kind_fails_in_one_sentence(tmp_path: Path) -> None:
    """Silero's detector is a sound model, and no voice."""
    import faster_whisper

    model = tmp_path / "voice.onnx"
    model.write_bytes(next((Path(faster_whisper.__file__).parent / "assets").glob("*.onnx")).read_bytes())
    config = {
        "audio": {"sample_rate": 22_050},
        "num_symbols": 1,
        "num_speakers": 1,
        "espeak": {"voice": "en-us"},
        "phoneme_type": "text",
        "phoneme_id_map": {each: [number] for number, each in enumerate("_^$ abcdefghijklmnopqrstuvwxyz.")},
    }
    Path(f"{model}.json").write_text(json.dumps(config))
    voice = piper.Piper.load(model)
    with pytest.raises(VoiceError, match="The Piper voice failed on 'hello'"):
        list(voice.synthesize("hello"))
    for broken in ("[]", '{"audio": 3}'):
        Path(f"{model}.json").write_text(broken)
        with pytest.raises(VoiceError, match="is no Piper voice"):
            piper.Piper.load(model)


@needs_coqui[0]
@needs_coqui[1]
def test_xtts_is_heard_while_it_computes(xtts_folder: Path) -> None:
    voice = xtts.Xtts.load(str(xtts_folder), voice="Ada", device="cpu")
    pieces = list(voice.synthesize(SENTENCE))
    assert len(pieces) > 1
    assert all(piece.dtype == np.float32 and piece.ndim == 1 and np.abs(piece).max() <= 1 for piece in pieces)
    assert 1.0 < sum(piece.size for piece in pieces) / voice.sample_rate < 5.0


@needs_coqui[0]
@needs_coqui[1]
@pytest.mark.skipif(find_library("avformat") is None, reason="Coqui reads recordings with FFmpeg, which is not there")
def test_xtts_imitates_a_recording(xtts_folder: Path, write_wave: WriteWave) -> None:
    low, high = (write_wave(f"{hertz}.wav", tone(3.0, 22_050, hertz), 22_050) for hertz in (120, 400))
    voices = [xtts.Xtts.load(str(xtts_folder), voice=str(path), device="cpu") for path in (low, high)]
    one, other = (voice._voice[1] for voice in voices)
    assert not np.allclose(one.numpy(), other.numpy())
    assert next(voices[0].synthesize("Yes.")).size


def test_without_ffmpeg_the_recording_is_not_blamed(tmp_path: Path) -> None:
    class Model:
        def get_conditioning_latents(self, audio_path: list[str]) -> None:
            raise RuntimeError("Failed to create AudioDecoder: Could not load libtorchcodec. Likely causes: …")

    with pytest.raises(MissingExtraError, match="apt install ffmpeg"):
        xtts._imitated(Model(), tmp_path / "voice.wav")


@needs_coqui[0]
@needs_coqui[1]
def test_what_xtts_has_not_is_named_with_what_it_has(xtts_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "noise.wav").write_bytes(b"no sound")
    for options, kind, said in (
        ({"voice": "Eve"}, ConfigError, "no speaker 'Eve': choose one of Ada"),
        ({"language": "fr"}, ConfigError, "does not speak 'fr': choose one of en, de"),
        ({"voice": str(tmp_path / "gone.wav")}, VoiceError, "There is no recording"),
        ({"voice": str(tmp_path / "noise.wav")}, ParleyError, "cannot be imitated|apt install ffmpeg"),
    ):
        with pytest.raises(kind, match=said):
            xtts.Xtts.load(str(xtts_folder), device="cpu", **options)
    with pytest.raises(VoiceError, match=r"no vocab\.json"):
        xtts.Xtts.load(str(tmp_path), device="cpu")


@needs_coqui[0]
@needs_coqui[1]
def test_without_a_network_a_voice_of_coquis_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TTS_HOME", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("COQUI_TOS_AGREED", "1")
    for name in (coqui.FAST_VOICE, xtts.NAME):
        with pytest.raises(VoiceError, match="connect to the network for its first use"):
            coqui.download(name)
    with pytest.raises(ConfigError, match="like tts_models/en/ljspeech/vits"):
        coqui.download("tts_models/en/ljspeech/vitss")


def test_on_a_gpu_coqui_speaks_and_another_voice_where_it_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coqui, "is_installed", lambda: True)
    monkeypatch.setattr(coqui, "is_on_gpu", lambda _: True)
    monkeypatch.setattr(piper, "is_installed", lambda: False)
    monkeypatch.setattr(espeak.Espeak, "load", lambda _: "espeak")
    asked: list[str] = []

    def out_of_reach(name: str, **_: str) -> TextToSpeech:
        asked.append(name)
        raise VoiceError("It cannot be downloaded.")

    monkeypatch.setattr(coqui.Coqui, "load", out_of_reach)
    told: list[str] = []
    found: object = build_tts(load({"voice": "auto"}).settings, note=told.append)
    assert (found, asked) == ("espeak", [coqui.FAST_VOICE])
    assert told == ["It cannot be downloaded. Until then another voice speaks."]
    # German is not what that voice speaks.
    german: object = build_tts(load({"voice": "auto", "language": "de"}).settings)
    assert (german, len(asked)) == ("espeak", 1)


def test_nobody_uses_xtts_without_having_accepted_its_licence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PARLEY_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("COQUI_TOS_AGREED", raising=False)
    monkeypatch.setattr(xtts.Xtts, "load", lambda **how: how["voice"])
    with pytest.raises(VoiceError, match=r"There is no recording gone\.wav"):
        # Whether the package is there or not.
        build_tts(load({"voice": "xtts:gone.wav"}).settings)
    monkeypatch.setattr(coqui, "library", lambda: None)
    settings = load({"voice": "xtts:Ada"}).settings
    with pytest.raises(ConfigError, match=r"non-commercial use only: https://.* say yes"):
        build_tts(settings)
    xtts.accept(settings.data_dir)
    found: object = build_tts(settings)
    assert found == "Ada"
    (tmp_path / "data" / "xtts-licence-accepted").unlink()
    monkeypatch.setenv("PARLEY_XTTS_LICENCE_ACCEPTED", "true")
    by_setting: object = build_tts(load({"voice": "xtts:Ada"}).settings)
    assert by_setting == "Ada"
