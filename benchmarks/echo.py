"""Echo cancellers on a voice in a room: how much of the echo goes, how much of a person stays, and what it costs.

    webrtc    pywebrtc-audio's canceller, through `voice.audio.echo_canceller.EchoCanceller`: what Parley uses
    webrtc-p  the same package's whole processor, told to cancel echo alone
    livekit   the audio processing module of LiveKit's SDK; measured where the package `livekit` is installed

The bundled voice reads from the loudspeaker into a room (an exponentially fading response, another one in each run),
which is heard after 30, 100 and 250 ms. Alone, it should vanish; while somebody speaks, as loud as the echo or 10 dB
louder, that one should still be understood by the bundled Whisper. Somebody is the same voice, higher and faster.
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
from skills.evaluation.scores import caption_words
from voice.audio.echo_canceller import EchoCanceller
from voice.audio.resample import Resampler
from voice.audio.types import SAMPLE_RATE
from voice.tts.base import TextToSpeech, speak

PLAYED = (
    "The library opens at nine in the morning and closes at six in the evening. On Saturdays it is open until noon. "
    "You can borrow ten books at a time, and keep each of them for four weeks. If you need one for longer, call us or "
    "come by. Films and music have to come back after a week, because many people are waiting for them."
)
SAID = (
    "I would like to send a parcel to my sister in Canada. It weighs about three kilograms. How long does it take, and "
    "what does it cost? She has a birthday next month, so there is no hurry. Please tell me which form I need."
)
DELAYS_MS = (30, 100, 250)
# A canceller needs a moment to find the echo; what is heard before is not counted.
_CONVERGED_SECONDS = 4
_FRAME = SAMPLE_RATE // 100
_FADE_SECONDS = 0.06
"""In which the room's response falls to 1/e: it is 60 dB quieter after 0.4 s, as in a furnished living room."""
_QUIETER_DB = (0, 10)
"""By how much the echo is quieter than the person."""

Samples = NDArray[np.float32]

Cancel = Callable[[Samples, Samples], Samples]
"""From what is heard and what is played, both at 16 kHz, to what is left of the first."""


def measure(runs: int) -> list[Figure]:
    """All figures, each from one room for every run."""
    settings = load({"model": "pocket", "voice": "piper", "whisper": "base", "language": "en"}).settings
    mouth = build_tts(settings)
    played, said = _spoken(mouth, PLAYED, 1.0), _spoken(mouth, SAID, 1.15)
    mouth.close()
    played = np.concatenate([played, np.zeros(SAMPLE_RATE, np.float32)])
    # The person waits until the canceller knows the room.
    before = np.zeros(_CONVERGED_SECONDS * SAMPLE_RATE, np.float32)
    person = np.concatenate([before, said])[: played.size]
    person = np.concatenate([person, np.zeros(played.size - person.size, np.float32)])
    ears = build_stt(settings)

    def errors(heard: Samples) -> float:
        """The word error rate in percent."""
        understood = ears.transcribe(heard[before.size :], "en").text
        return 100 * float(jiwer.wer(caption_words(SAID), caption_words(understood)))

    cancellers = dict(_cancellers())
    figures: dict[tuple[str, str], list[float]] = {("word errors, nobody else speaking", "%"): [errors(person)]}
    for delay in DELAYS_MS:
        for run in range(runs):
            echo = _in_room(played, delay, 1000 * run + delay)
            echo *= np.sqrt(np.mean(np.square(said)) / np.mean(np.square(echo)))
            quieter = {level: echo * np.float32(10 ** (-level / 20)) for level in _QUIETER_DB}
            for level, heard in quieter.items():
                kept = figures.setdefault((f"word errors, echo {level} dB quieter, {delay} ms, not cancelled", "%"), [])
                kept.append(errors(person + heard))
            for name, make in cancellers.items():
                cancel = make()
                started = time.process_time()
                left = cancel(echo, played)
                seconds = time.process_time() - started
                reduction = _decibels(echo[before.size :]) - _decibels(left[before.size :])
                figures.setdefault((f"echo taken away, {delay} ms, {name}", "dB"), []).append(reduction)
                for level, heard in quieter.items():
                    words = errors(make()(person + heard, played))
                    kept = figures.setdefault((f"word errors, echo {level} dB quieter, {delay} ms, {name}", "%"), [])
                    kept.append(words)
                cost = 1000 * seconds * SAMPLE_RATE / echo.size
                figures.setdefault((f"processor time for a second, {name}", "ms"), []).append(cost)
    ears.close()
    return [Figure(name, unit, tuple(values)) for (name, unit), values in figures.items()]


def _cancellers() -> "Iterator[tuple[str, Callable[[], Cancel]]]":
    yield "webrtc", _webrtc
    yield "webrtc-p", _webrtc_processor
    if importlib.util.find_spec("livekit") is not None:
        yield "livekit", _livekit
    else:
        print("livekit is not installed, and left out: pip install livekit")


def _webrtc() -> Cancel:
    canceller = EchoCanceller(SAMPLE_RATE)

    def cancel(heard: Samples, played: Samples) -> Samples:
        # In blocks as a microphone gives them: it forgets what the speaker played much too early.
        starts = range(0, heard.size, 2 * _FRAME)
        blocks = [canceller.process(heard[at : at + 2 * _FRAME], played[at : at + 2 * _FRAME]) for at in starts]
        return np.concatenate(blocks).astype(np.float32)

    return cancel


def _webrtc_processor() -> Cancel:
    import pywebrtc_audio

    processor = pywebrtc_audio.AudioProcessor(SAMPLE_RATE, 1, echo_cancellation=True)

    def cancel(heard: Samples, played: Samples) -> Samples:
        starts = range(0, heard.size // _FRAME * _FRAME, _FRAME)
        frames = [processor.process(heard[at : at + _FRAME], played[at : at + _FRAME]) for at in starts]
        return np.concatenate([*frames, np.zeros(heard.size % _FRAME)]).astype(np.float32)

    return cancel


def _livekit() -> Cancel:
    from livekit import rtc

    processing = rtc.AudioProcessingModule(echo_cancellation=True)
    processing.set_stream_delay_ms(0)

    def frame(samples: Samples) -> rtc.AudioFrame:
        whole = np.clip(np.round(samples * 32767), -32768, 32767).astype("<i2")
        return rtc.AudioFrame(whole.tobytes(), SAMPLE_RATE, 1, _FRAME)

    def cancel(heard: Samples, played: Samples) -> Samples:
        left = np.zeros_like(heard)
        for at in range(0, heard.size // _FRAME * _FRAME, _FRAME):
            processing.process_reverse_stream(frame(played[at : at + _FRAME]))
            near = frame(heard[at : at + _FRAME])
            processing.process_stream(near)
            left[at : at + _FRAME] = np.frombuffer(near.data, "<i2") / np.float32(32768)
        return left

    return cancel


def _spoken(mouth: TextToSpeech, text: str, faster: float) -> Samples:
    """A text read aloud at 16 kHz, `faster` and as much higher."""
    resampler = Resampler(round(mouth.sample_rate * faster), SAMPLE_RATE)
    spoken = np.concatenate(list(speak([text], mouth)))
    return (0.5 * np.concatenate([resampler.process(spoken), resampler.flush()])).astype(np.float32)


def _in_room(played: Samples, delay_ms: int, seed: int) -> Samples:
    """What a microphone hears of it: the sound itself, and after it a thousand reflections, ever fainter."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(4 * _FADE_SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    response = 0.1 * rng.standard_normal(times.size) * np.exp(-times / _FADE_SECONDS)
    response[0] = 1.0
    late = np.concatenate([np.zeros(delay_ms * SAMPLE_RATE // 1000), played])
    size = late.size + response.size
    heard = np.fft.irfft(np.fft.rfft(late, size) * np.fft.rfft(response, size), size)
    # A loudspeaker is not quite linear, and no microphone is without noise.
    loud = np.abs(heard).max()
    heard = np.tanh(0.5 * heard / loud) + 1e-4 * rng.standard_normal(size)
    return np.asarray(heard[: played.size], np.float32)


def _decibels(samples: Samples) -> float:
    return float(10 * np.log10(np.mean(np.square(samples)) + 1e-12))
