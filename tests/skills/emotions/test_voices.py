"""Emotion from voices: the heads with a fake encoder, prosody of sung tones, and the bundled Whisper."""

import io

import numpy as np
import pytest

from skills.emotions.labels import EMOTIONS
from skills.emotions.prosody import RATE, SPEAKING_LEVEL, Floats, normalize_level, prosody
from skills.emotions.voice import VocalEmotion, VoiceEmotionClassifier, features

WIDTH = 512


def sing(seconds: float, hertz: float = 150.0, level: float = 0.1) -> Floats:
    """Return a sung "ah": a pulse train, rich in overtones."""
    time = np.arange(round(seconds * RATE)) / RATE
    wave = sum(np.sin(2 * np.pi * hertz * number * time) / number for number in range(1, 12))
    return (level * np.asarray(wave)).astype(np.float32)


def encode(samples: Floats) -> Floats:
    """Return frames that contain their loudness."""
    count = -(-len(samples) // 320)
    loud = np.sqrt(np.square(np.pad(samples, (0, count * 320 - len(samples)))).reshape(count, 320).mean(1))
    return np.repeat(loud[:, None], WIDTH, 1).astype(np.float32)


def detect_everywhere(samples: Floats) -> list[tuple[int, int]]:
    return [(0, samples.size)]


def detect_nowhere(samples: Floats) -> list[tuple[int, int]]:
    return []


def classify(samples: Floats) -> VocalEmotion | None:
    return VoiceEmotionClassifier(encode, detect_everywhere).classify(samples)


def test_probabilities_sum_to_1_without_surprise() -> None:
    tone = classify(sing(5))
    assert tone is not None
    assert tuple(tone.probabilities) == EMOTIONS
    assert sum(tone.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert tone.probabilities["surprise"] == 0
    assert 0 <= tone.boredom <= tone.probabilities["neutral"]
    assert tone.seconds == 5


@pytest.mark.parametrize(
    "samples",
    [np.zeros(0, np.float32), np.zeros(RATE, np.float32), sing(0.3)],
    ids=["nothing", "a second of silence", "a syllable"],
)
def test_too_little_speech_has_no_emotion(samples: Floats) -> None:
    assert classify(samples) is None


def test_without_detected_speech_there_is_no_emotion() -> None:
    assert VoiceEmotionClassifier(encode, detect_nowhere).classify(sing(5)) is None


def test_the_level_of_the_recording_does_not_matter() -> None:
    near, far = classify(sing(4, level=0.3)), classify(sing(4, level=0.003))
    assert near is not None
    assert far is not None
    assert far.probabilities == pytest.approx(near.probabilities, abs=1e-3)


def test_only_speech_is_encoded_in_segments_of_two_seconds() -> None:
    encoded: list[int] = []

    def recording_encode(samples: Floats) -> Floats:
        encoded.append(samples.size)
        return encode(samples)

    rows, seconds = features(sing(60), recording_encode, lambda _: [(RATE, 4 * RATE), (30 * RATE, 34 * RATE)])
    assert (len(rows), seconds) == (4, 7)
    assert encoded == [28_000] * 4


def test_recordings_are_scaled_to_one_level_and_silence_stays_silent() -> None:
    assert not normalize_level(np.zeros(100, np.float32)).any()
    loud = normalize_level(sing(1, level=0.7))
    assert np.sqrt(np.mean(loud**2)) == pytest.approx(SPEAKING_LEVEL, rel=1e-3)


@pytest.mark.parametrize("hertz", [80, 150, 220, 350])
def test_the_pitch_of_a_tone_is_measured(hertz: int) -> None:
    low, middle, high, *_ = prosody(normalize_level(sing(1, hertz)))
    assert middle == pytest.approx(np.log2(hertz / 100), abs=0.04)
    assert high - low < 0.1


def test_noise_is_unvoiced_and_features_are_finite() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    click = np.zeros(RATE, np.float32)
    click[5000] = 1
    assert prosody(normalize_level(noise))[11] < 0.3
    assert prosody(normalize_level(sing(1)))[11] > 0.9
    for samples in (noise, click, sing(0.5), np.ones(RATE, np.float32)):
        assert np.isfinite(prosody(normalize_level(samples))).all()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_bundled_whisper_finds_an_emotion_in_speech_but_not_in_noise_or_music() -> None:
    from assistant.settings import load
    from parley.factory.emotion import build_voice_emotion_classifier
    from parley.factory.voice import build_tts
    from tests.fakes.audio import wave_bytes
    from voice.audio.decode import open_audio
    from voice.tts.base import speak

    settings = load().settings
    classifier = build_voice_emotion_classifier(settings)
    assert classifier.classify(sing(0.4)) is None
    noise = np.random.default_rng(0).normal(0, 0.05, 3 * RATE).astype(np.float32)
    assert classifier.classify(noise) is None
    time = np.arange(3 * RATE) / RATE
    chord = sum(0.1 * np.sin(2 * np.pi * hertz * time) for hertz in (262, 330, 392))
    assert classifier.classify(np.asarray(chord, np.float32)) is None
    tts = build_tts(settings)
    spoken = np.concatenate(list(speak(["The weather was fine this morning, so we walked along the river."], tts)))
    with open_audio(io.BytesIO(wave_bytes(spoken, tts.sample_rate))) as recording:
        tone = classifier.classify(np.concatenate(list(recording.blocks())))
    assert tone is not None
    assert 2 < tone.seconds < 10
    assert max(tone.probabilities.values()) < 1
