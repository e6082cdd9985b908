"""Whisper listens, through faster-whisper: any of its models on the processor or a CUDA device.

samples ─▶ Silero voice detector ─▶ nothing, if nobody speaks
                   └─▶ only what is speech ─▶ Whisper ─▶ segments with words ─▶ phantoms left out ─▶ Transcript
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import ConfigError, VoiceError
from assistant.languages import suggest
from voice.audio.types import SAMPLE_RATE
from voice.stt.base import Segment, Transcript, Word
from voice.stt.hallucinations import COMPRESSION_RATIO_THRESHOLD, SegmentStats, is_hallucination, normalized_words

if TYPE_CHECKING:
    import numpy as np
    from faster_whisper import WhisperModel
    from numpy.typing import NDArray

    from voice.audio.types import Samples

# A window of Whisper's is 30 s; beyond that the language is known from the first.
_LANGUAGE_WINDOWS = 1
_SAMPLES_A_FRAME = 320


class Whisper:
    """A loaded Whisper. Keeps the promises of `SpeechToText`."""

    def __init__(self, model: "WhisperModel", name: str) -> None:
        self._model: WhisperModel | None = model
        self.name = name

    @classmethod
    def load(cls, source: str, *, device: str = "auto") -> "Whisper":
        """Load a folder in CTranslate2's format, one of faster-whisper's names, or such a model of the hub.

        `device` is "auto", "cpu", "mps" (which it does not know: the processor then) or "cuda:1". Blocks for a second,
        or for as long as a download takes. Raises `VoiceError`, and `ConfigError` for a name there is not.
        """
        import ctranslate2
        from faster_whisper import WhisperModel
        from faster_whisper.utils import available_models

        if not Path(source).is_dir() and "/" not in source and source not in available_models():
            raise ConfigError(
                f"There is no Whisper called {source}: choose base (the bundled one), a folder, a hub id, "
                f"or one of {', '.join(available_models())}."
            )
        if Path(source).is_dir() and not (Path(source) / "model.bin").is_file():
            raise VoiceError(f"{source} holds no Whisper in CTranslate2's format: there is no model.bin in it.")
        kind, _, index = device.partition(":")
        cuda = kind == "cuda" or (kind == "auto" and ctranslate2.get_cuda_device_count() > 0)
        try:
            model = WhisperModel(
                source,
                device="cuda" if cuda else "cpu",
                device_index=int(index or 0),
                # Measured on three clips with two threads: 1.74 s in int8, 2.28 s in float32.
                compute_type="float16" if cuda else "int8",
                # More threads than cores only wait for each other; more than four gain nothing on a model this small.
                cpu_threads=min(4, os.cpu_count() or 1),
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise VoiceError(f"Whisper {source} cannot be loaded on {device}: {_first_line(error)}.") from error
        return cls(model, Path(source).name)

    @property
    def languages(self) -> Sequence[str]:
        return list(self._loaded.supported_languages)

    def transcribe(self, samples: "Samples", language: str | None = None) -> Transcript:
        from faster_whisper.vad import VadOptions, get_speech_timestamps

        model = self._loaded
        if language is not None and language not in self.languages:
            raise VoiceError(unknown_language_message(language, self.languages))
        # Silero's thresholds as faster-whisper sets them; asked here first, since Whisper takes a second to detect the
        # language of silence.
        if not samples.size or not get_speech_timestamps(samples, VadOptions(), SAMPLE_RATE):
            return Transcript(language=language or "", language_probability=float(language is not None))
        try:
            found, info = model.transcribe(
                samples,
                language=language,
                # As plain faster-whisper does: with 1, eleven clips of people had 6.3 % of their words wrong, not 4.2,
                # and in noise of 5 dB 25 %, not 20. The encoder is what takes the time.
                beam_size=5,
                word_timestamps=True,
                vad_filter=True,
                # What was said before tempts it to say it again, over and over.
                condition_on_previous_text=False,
                compression_ratio_threshold=COMPRESSION_RATIO_THRESHOLD,
                # What fails is tried again more freely: twice, since each try takes as long as the first.
                temperature=(0.0, 0.4, 0.8),
                best_of=1,
                language_detection_segments=_LANGUAGE_WINDOWS,
            )
            # Here the work is done: faster-whisper decodes while it is iterated.
            segments = _without_loops([segment for segment in map(_segment, found) if segment is not None])
        except RuntimeError as error:
            raise VoiceError(f"Whisper {self.name} failed: {_first_line(error)}. Try --device cpu.") from error
        return Transcript(tuple(segments), info.language, round(float(info.language_probability), 4))

    def encode(self, samples: "Samples") -> "NDArray[np.float32]":
        """What the encoder makes of up to 30 s of 16 kHz sound: frames (count, width), 50 a second.

        No silence is added up to 30 s, as is done for transcribing: two seconds of sound take 15 ms. Raises
        `VoiceError`.
        """
        import numpy as np

        model = self._loaded
        try:
            frames = model.encode(model.feature_extractor(samples))
            return np.asarray(frames, np.float32)[0, : -(-samples.size // _SAMPLES_A_FRAME)]
        except (RuntimeError, ValueError) as error:
            raise VoiceError(f"Whisper {self.name} cannot hear that sound: {_first_line(error)}.") from error

    def close(self) -> None:
        self._model = None

    @property
    def _loaded(self) -> "WhisperModel":
        assert self._model is not None, "closed"
        return self._model


def detect_speech(samples: "Samples") -> list[tuple[int, int]]:
    """From which to which of the 16 kHz `samples` somebody speaks, by Silero; pauses below two seconds included."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    return [(span["start"], span["end"]) for span in get_speech_timestamps(samples, VadOptions(), SAMPLE_RATE)]


def unknown_language_message(language: str, known: Sequence[str]) -> str:
    """The sentence that says so."""
    return f"This Whisper knows no language {language!r}: {suggest(language, known)}"


def _segment(found: Any) -> Segment | None:
    text = found.text.strip()
    if is_hallucination(text, SegmentStats(found.no_speech_prob, found.avg_logprob, found.compression_ratio)):
        return None
    words = tuple(
        Word(word.word.strip(), float(word.start), float(word.end), round(float(word.probability), 4))
        for word in found.words or ()
    )
    return Segment(text, float(found.start), float(found.end), words)


def _without_loops(segments: list[Segment]) -> list[Segment]:
    """`segments` without those that say for at least the third time in a row what the one before said."""
    kept: list[Segment] = []
    times = 0
    for segment in segments:
        times = times + 1 if kept and normalized_words(segment.text) == normalized_words(kept[-1].text) else 1
        if times < 3:
            kept.append(segment)
    return kept


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")
