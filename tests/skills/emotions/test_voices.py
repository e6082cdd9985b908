"""The tone of a voice: the head on stand-ins for the encoder, pitch on sung tones, and all on the bundled Whisper."""

import io

import numpy as np
import pytest

from skills.emotions.labels import EMOTIONS
from skills.emotions.prosody import RATE, SPEAKING_LEVEL, Floats, normalize_level, prosody
from skills.emotions.voice import VocalEmotion, VoiceEmotionClassifier, features

WIDTH = 512


def sung(seconds: float, hertz: float = 150.0, level: float = 0.1) -> Floats:
    """A voice that sings "ah": a pulse train, rich in overtones."""
    time = np.arange(round(seconds * RATE)) / RATE
    wave = sum(np.sin(2 * np.pi * hertz * number * time) / number for number in range(1, 12))
    return (level * np.asarray(wave)).astype(np.float32)


def encode(samples: Floats) -> Floats:
    """Frames that hold how loud each is."""
    count = -(-len(samples) // 320)
    loud = np.sqrt(np.square(np.pad(samples, (0, count * 320 - len(samples)))).reshape(count, 320).mean(1))
    return np.repeat(loud[:, None], WIDTH, 1).astype(np.float32)


def all_of_it(samples: Floats) -> list[tuple[int, int]]:
    return [(0, samples.size)]


def nowhere(samples: Floats) -> list[tuple[int, int]]:
    return []


def read(samples: Floats) -> VocalEmotion | None:
    return VoiceEmotionClassifier(encode, all_of_it).classify(samples)


def test_a_tone_is_a_share_for_every_emotion_and_never_surprise() -> None:
    tone = read(sung(5))
    assert tone is not None
    assert tuple(tone.probabilities) == EMOTIONS
    assert sum(tone.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert tone.probabilities["surprise"] == 0
    assert 0 <= tone.boredom <= tone.probabilities["neutral"]
    assert tone.seconds == 5


@pytest.mark.parametrize(
    "samples",
    [np.zeros(0, np.float32), np.zeros(RATE, np.float32), sung(0.3)],
    ids=["nothing", "a second of silence", "a syllable"],
)
def test_what_is_too_little_to_go_by_is_not_told(samples: Floats) -> None:
    assert read(samples) is None


def test_where_nobody_speaks_nothing_is_told() -> None:
    assert VoiceEmotionClassifier(encode, nowhere).classify(sung(5)) is None


def test_how_near_the_microphone_stands_does_not_matter() -> None:
    near, far = read(sung(4, level=0.3)), read(sung(4, level=0.003))
    assert near is not None
    assert far is not None
    assert far.probabilities == pytest.approx(near.probabilities, abs=1e-3)


def test_only_speech_is_listened_to_in_pieces_of_two_seconds() -> None:
    heard: list[int] = []

    def listening(samples: Floats) -> Floats:
        heard.append(samples.size)
        return encode(samples)

    rows, seconds = features(sung(60), listening, lambda _: [(RATE, 4 * RATE), (30 * RATE, 34 * RATE)])
    assert (len(rows), seconds) == (4, 7)
    assert heard == [28_000] * 4


def test_silence_stays_silence_and_all_else_comes_to_one_level() -> None:
    assert not normalize_level(np.zeros(100, np.float32)).any()
    loud = normalize_level(sung(1, level=0.7))
    assert np.sqrt(np.mean(loud**2)) == pytest.approx(SPEAKING_LEVEL, rel=1e-3)


@pytest.mark.parametrize("hertz", [80, 150, 220, 350])
def test_pitch_is_heard_as_it_is_sung(hertz: int) -> None:
    low, middle, high, *_ = prosody(normalize_level(sung(1, hertz)))
    assert middle == pytest.approx(np.log2(hertz / 100), abs=0.04)
    assert high - low < 0.1


def test_noise_has_no_pitch_and_numbers_are_always_finite() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    click = np.zeros(RATE, np.float32)
    click[5000] = 1
    assert prosody(normalize_level(noise))[11] < 0.3
    assert prosody(normalize_level(sung(1)))[11] > 0.9
    for samples in (noise, click, sung(0.5), np.ones(RATE, np.float32)):
        assert np.isfinite(prosody(normalize_level(samples))).all()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_embedded_whisper_hears_speech_and_knows_noise_and_music_for_what_they_are() -> None:
    from assistant.settings import load
    from parley.factory.emotion import build_voice_emotion_classifier
    from parley.factory.voice import build_tts
    from tests.fakes.audio import wave_bytes
    from voice.audio.decode import open_audio
    from voice.tts.base import speak

    settings = load().settings
    reader = build_voice_emotion_classifier(settings)
    assert reader.classify(sung(0.4)) is None
    noise = np.random.default_rng(0).normal(0, 0.05, 3 * RATE).astype(np.float32)
    assert reader.classify(noise) is None
    time = np.arange(3 * RATE) / RATE
    chord = sum(0.1 * np.sin(2 * np.pi * hertz * time) for hertz in (262, 330, 392))
    assert reader.classify(np.asarray(chord, np.float32)) is None
    mouth = build_tts(settings)
    spoken = np.concatenate(list(speak(["The weather was fine this morning, so we walked along the river."], mouth)))
    with open_audio(io.BytesIO(wave_bytes(spoken, mouth.sample_rate))) as recording:
        tone = reader.classify(np.concatenate(list(recording.blocks())))
    assert tone is not None
    assert 2 < tone.seconds < 10
    assert max(tone.probabilities.values()) < 1
