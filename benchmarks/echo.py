"""Compare echo cancellers on a voice in a simulated room: how much echo goes, how much of a person stays, and the cost.

    webrtc    pywebrtc-audio's canceller, through `voice.audio.echo_canceller.EchoCanceller`: what Parley uses
    webrtc-p  the same package's audio processor with echo cancellation only
    livekit   the audio processing module of LiveKit's SDK; measured where the package `livekit` is installed

The bundled voice plays into a room with an exponentially fading response, another one in each run, and is heard after
30, 100 and 250 ms. Alone, it should vanish. While a person speaks, as loud as the echo or 10 dB louder, the bundled
Whisper should still understand the person, who is the same voice, higher and faster.
"""

import importlib.util
import time
from collections.abc import Callable, Iterator

import jiwer
import numpy as np
from numpy.typing import NDArray

from assistant.settings import load
from benchmarks.figures import Figure
from parley.factory.voice import build_stt, build_tts
from skills.evaluation.scores import normalize_text
from voice.audio.echo_canceller import EchoCanceller
from voice.audio.resample import Resampler
from voice.audio.types import SAMPLE_RATE
from voice.stt.base import SpeechToText
from voice.tts.base import TextToSpeech, speak

PLAYED_TEXT = (
    "The library opens at nine in the morning and closes at six in the evening. On Saturdays it is open until noon. "
    "You can borrow ten books at a time, and keep each of them for four weeks. If you need one for longer, call us or "
    "come by. Films and music have to come back after a week, because many people are waiting for them."
)
PERSON_TEXT = (
    "I would like to send a parcel to my sister in Canada. It weighs about three kilograms. How long does it take, and "
    "what does it cost? She has a birthday next month, so there is no hurry. Please tell me which form I need."
)
DELAYS_MS = (30, 100, 250)
ECHO_LEVELS_DB = (0, 10)
"""Level of the echo below that of the person."""
# A canceller needs a moment to find the echo; what comes before is not counted.
_CONVERGENCE_SAMPLES = 4 * SAMPLE_RATE
_FRAME_SAMPLES = SAMPLE_RATE // 100
_FADE_SECONDS = 0.06
"""Time in which the room's response falls to 1/e: -60 dB after 0.4 s, as in a furnished living room."""

Samples = NDArray[np.float32]

Cancel = Callable[[Samples, Samples], Samples]
"""Remove the echo of the second signal (far end) from the first (near end), both at 16 kHz."""


def measure(runs: int) -> list[Figure]:
    """Measure all cancellers, in another room for each run."""
    settings = load({"model": "pocket", "voice": "hibari", "whisper": "base", "language": "en"}).settings
    tts, stt = build_tts(settings), build_stt(settings)
    far, speech = _synthesize(tts, PLAYED_TEXT, 1.0), _synthesize(tts, PERSON_TEXT, 1.15)
    tts.close()
    far = np.concatenate([far, np.zeros(SAMPLE_RATE, np.float32)])
    # The person waits until the canceller has converged.
    person = np.concatenate([np.zeros(_CONVERGENCE_SAMPLES, np.float32), speech])[: far.size]
    person = np.concatenate([person, np.zeros(far.size - person.size, np.float32)])
    loudness = np.mean(np.square(speech))
    values: dict[tuple[str, str], list[float]] = {}
    values["word errors, nobody else speaking", "%"] = [_word_errors(stt, person)]
    cancellers = dict(_cancellers())
    for delay in DELAYS_MS:
        for run in range(runs):
            echo = _in_room(far, delay, seed=1000 * run + delay)
            echo *= np.sqrt(loudness / np.mean(np.square(echo)))
            for (name, unit), value in _measure_room(stt, cancellers, far, echo, person, delay):
                values.setdefault((name, unit), []).append(value)
    stt.close()
    return [Figure(name, unit, tuple(each)) for (name, unit), each in values.items()]


def _measure_room(
    stt: SpeechToText,
    cancellers: dict[str, Callable[[], Cancel]],
    far: Samples,
    echo: Samples,
    person: Samples,
    delay_ms: int,
) -> Iterator[tuple[tuple[str, str], float]]:
    """Yield the values of one room: ((name, unit), value)."""
    echoes = {level: echo * np.float32(10 ** (-level / 20)) for level in ECHO_LEVELS_DB}
    for level, quieter in echoes.items():
        name = f"word errors, echo {level} dB quieter, {delay_ms} ms, not cancelled"
        yield (name, "%"), _word_errors(stt, person + quieter)
    for canceller, make in cancellers.items():
        cancel = make()
        started = time.process_time()
        rest = cancel(echo, far)
        seconds = time.process_time() - started
        reduction = _decibels(echo[_CONVERGENCE_SAMPLES:]) - _decibels(rest[_CONVERGENCE_SAMPLES:])
        yield (f"echo taken away, {delay_ms} ms, {canceller}", "dB"), reduction
        for level, quieter in echoes.items():
            name = f"word errors, echo {level} dB quieter, {delay_ms} ms, {canceller}"
            yield (name, "%"), _word_errors(stt, make()(person + quieter, far))
        yield (f"processor time for a second, {canceller}", "ms"), 1000 * seconds * SAMPLE_RATE / echo.size


def _word_errors(stt: SpeechToText, near: Samples) -> float:
    """Return the word error rate of the person's text in percent."""
    transcript = stt.transcribe(near[_CONVERGENCE_SAMPLES:], "en").text
    return 100 * float(jiwer.wer(normalize_text(PERSON_TEXT), normalize_text(transcript)))


def _cancellers() -> "Iterator[tuple[str, Callable[[], Cancel]]]":
    yield "webrtc", _webrtc
    yield "webrtc-p", _webrtc_processor
    if importlib.util.find_spec("livekit") is not None:
        yield "livekit", _livekit
    else:
        print("livekit is not installed and is left out: pip install livekit")


def _webrtc() -> Cancel:
    canceller = EchoCanceller(SAMPLE_RATE)

    def cancel(near: Samples, far: Samples) -> Samples:
        # In blocks as from a microphone: the canceller drops far-end audio that is much too early.
        size = 2 * _FRAME_SAMPLES
        blocks = [canceller.process(near[at : at + size], far[at : at + size]) for at in range(0, near.size, size)]
        return np.concatenate(blocks).astype(np.float32)

    return cancel


def _webrtc_processor() -> Cancel:
    import pywebrtc_audio

    processor = pywebrtc_audio.AudioProcessor(SAMPLE_RATE, 1, echo_cancellation=True)

    def cancel(near: Samples, far: Samples) -> Samples:
        starts = range(0, near.size // _FRAME_SAMPLES * _FRAME_SAMPLES, _FRAME_SAMPLES)
        frames = [processor.process(near[at : at + _FRAME_SAMPLES], far[at : at + _FRAME_SAMPLES]) for at in starts]
        return np.concatenate([*frames, np.zeros(near.size % _FRAME_SAMPLES)]).astype(np.float32)

    return cancel


def _livekit() -> Cancel:
    from livekit import rtc

    processing = rtc.AudioProcessingModule(echo_cancellation=True)
    processing.set_stream_delay_ms(0)

    def to_frame(samples: Samples) -> rtc.AudioFrame:
        values = np.clip(np.round(samples * 32767), -32768, 32767).astype("<i2")
        return rtc.AudioFrame(values.tobytes(), SAMPLE_RATE, 1, _FRAME_SAMPLES)

    def cancel(near: Samples, far: Samples) -> Samples:
        result = np.zeros_like(near)
        for at in range(0, near.size // _FRAME_SAMPLES * _FRAME_SAMPLES, _FRAME_SAMPLES):
            processing.process_reverse_stream(to_frame(far[at : at + _FRAME_SAMPLES]))
            frame = to_frame(near[at : at + _FRAME_SAMPLES])
            processing.process_stream(frame)
            result[at : at + _FRAME_SAMPLES] = np.frombuffer(frame.data, "<i2") / np.float32(32768)
        return result

    return cancel


def _synthesize(tts: TextToSpeech, text: str, speed: float) -> Samples:
    """Return speech at 16 kHz, `speed` times as fast and as high."""
    resampler = Resampler(round(tts.sample_rate * speed), SAMPLE_RATE)
    samples = np.concatenate(list(speak([text], tts)))
    return (0.5 * np.concatenate([resampler.process(samples), resampler.flush()])).astype(np.float32)


def _in_room(far: Samples, delay_ms: int, seed: int) -> Samples:
    """Return what a microphone in a room records: the direct sound and its fading reflections."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(4 * _FADE_SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    response = 0.1 * rng.standard_normal(times.size) * np.exp(-times / _FADE_SECONDS)
    response[0] = 1.0
    delayed = np.concatenate([np.zeros(delay_ms * SAMPLE_RATE // 1000), far])
    size = delayed.size + response.size
    recorded = np.fft.irfft(np.fft.rfft(delayed, size) * np.fft.rfft(response, size), size)
    # A loudspeaker is not quite linear, and a microphone adds noise.
    recorded = np.tanh(0.5 * recorded / np.abs(recorded).max()) + 1e-4 * rng.standard_normal(size)
    return np.asarray(recorded[: far.size], np.float32)


def _decibels(samples: Samples) -> float:
    return float(10 * np.log10(np.mean(np.square(samples)) + 1e-12))
