"""Whisper through faster-whisper: any of its models, on the CPU or a CUDA device.

samples ─▶ Silero VAD ─▶ nobody speaks: an empty transcript
               └─▶ only the speech ─▶ Whisper ─▶ segments with words ─▶ hallucinations removed ─▶ Transcript

`encoder_window` makes short utterances fast; `hot_words` are the names that Whisper is told of.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import ConfigError, VoiceError, first_line
from assistant.languages import suggest
from voice.audio.types import SAMPLE_RATE
from voice.stt.base import Segment, Transcript, Word
from voice.stt.hallucinations import (
    COMPRESSION_RATIO_THRESHOLD,
    SegmentStats,
    is_hallucination,
    normalized_words,
)
from voice.stt.hot_words import hot_word_prompt, repeats_prompt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from voice.audio.types import Samples
    from voice.stt.encoder_window import WindowedWhisperModel

# The language is detected in the first window of 30 s only.
_LANGUAGE_DETECTION_SEGMENTS = 1
# Samples per frame of the encoder: 20 ms.
_FRAME_SAMPLES = 320


class Whisper:
    """A loaded Whisper model. Implements `SpeechToText`."""

    def __init__(
        self, model: "WindowedWhisperModel", name: str, hot_words: Sequence[str] = (), *, word_times: bool = True
    ) -> None:
        self._model: WindowedWhisperModel | None = model
        self.name = name
        self._word_times = word_times
        self._hot_words = hot_word_prompt(hot_words, lambda text: len(model.hf_tokenizer.encode(text).ids))

    @classmethod
    def load(
        cls, source: str, *, device: str = "auto", hot_words: Sequence[str] = (), word_times: bool = True
    ) -> "Whisper":
        """Load a model. Blocks for a second, or for as long as a download takes.

        Args:
            source: A folder in CTranslate2's format, one of faster-whisper's names, or the hub id of such a model.
            device: "auto", "cpu", "cuda" or "cuda:1". CTranslate2 does not support "mps": it means the CPU.
            hot_words: Names and unusual words that may be said.
            word_times: Whether segments hold their words with times. Without, the words are the same, and come after
                nine tenths of the processor time.

        Raises:
            ConfigError: There is no model of this name.
            VoiceError: The model cannot be loaded.
        """
        import ctranslate2
        from faster_whisper.utils import available_models

        from voice.stt.encoder_window import WindowedWhisperModel

        if not Path(source).is_dir() and "/" not in source and source not in available_models():
            raise ConfigError(
                f"There is no Whisper model {source}: choose base (the bundled one), a folder, a hub id, "
                f"or one of {', '.join(available_models())}."
            )
        if Path(source).is_dir() and not (Path(source) / "model.bin").is_file():
            raise VoiceError(f"{source} is not a Whisper model in CTranslate2's format: there is no model.bin in it.")
        kind, _, index = device.partition(":")
        cuda = kind == "cuda" or (kind == "auto" and ctranslate2.get_cuda_device_count() > 0)
        try:
            model = WindowedWhisperModel(
                source,
                device="cuda" if cuda else "cpu",
                device_index=int(index or 0),
                # Measured on three clips with two threads: 1.74 s in int8, 2.28 s in float32.
                compute_type="float16" if cuda else "int8",
                # More threads than cores only wait for each other; more than four gain nothing on a model this small.
                cpu_threads=min(4, os.cpu_count() or 1),
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise VoiceError(f"Whisper {source} cannot be loaded on {device}: {first_line(error)}.") from error
        return cls(model, Path(source).name, hot_words, word_times=word_times)

    @property
    def languages(self) -> Sequence[str]:
        return list(self.model.supported_languages)

    def transcribe(self, samples: "Samples", language: str | None = None) -> Transcript:
        model = self.model
        if language is not None and language not in self.languages:
            raise VoiceError(unknown_language_message(language, self.languages))
        # Checked before Whisper runs, which takes a second to detect the language of silence.
        if not samples.size or not detect_speech(samples):
            return Transcript(language=language or "", language_probability=float(language is not None))
        model.begin()
        try:
            raw_segments, info = model.transcribe(
                samples,
                language=language,
                # faster-whisper's default. With 1 throughout, eleven clips of people had 6.3 % of their words wrong
                # instead of 4.2 %, and 25 % instead of 20 % in noise of 5 dB; what is clear is decoded with 1.
                beam_size=5,
                word_timestamps=self._word_times,
                vad_filter=True,
                # The previous text tempts Whisper to repeat it over and over.
                condition_on_previous_text=False,
                compression_ratio_threshold=COMPRESSION_RATIO_THRESHOLD,
                # Two retries at a higher temperature after a failure: each takes as long as the first try.
                temperature=(0.0, 0.4, 0.8),
                best_of=1,
                language_detection_segments=_LANGUAGE_DETECTION_SEGMENTS,
                hotwords=self._hot_words or None,
            )
            # faster-whisper decodes while its segments are iterated: the work is done here.
            segments = [segment for segment in map(_to_segment, raw_segments) if segment is not None]
        except RuntimeError as error:
            raise VoiceError(f"Whisper {self.name} failed: {first_line(error)}. Try --device cpu.") from error
        segments = _drop_repetitions(self._drop_hot_words_alone(segments))
        return Transcript(tuple(segments), info.language, round(float(info.language_probability), 4))

    def encode(self, samples: "Samples") -> "NDArray[np.float32]":
        """Return the encoder's states of up to 30 s of audio, without padding to 30 s: 2 s take 15 ms.

        Args:
            samples: 16 kHz mono.

        Returns:
            float32 of shape (frames, width), 50 frames a second.

        Raises:
            VoiceError: The encoder fails.
        """
        import numpy as np

        model = self.model
        try:
            states = model.encode_unchanged(model.feature_extractor(samples))
            return np.asarray(states, np.float32)[0, : -(-samples.size // _FRAME_SAMPLES)]
        except (RuntimeError, ValueError) as error:
            raise VoiceError(f"Whisper {self.name} cannot encode this audio: {first_line(error)}.") from error

    def _drop_hot_words_alone(self, segments: list[Segment]) -> list[Segment]:
        """Leave out segments that read out the prompt of hot words, which happens in noise."""
        prompt = normalized_words(self._hot_words).split()
        return [each for each in segments if not repeats_prompt(normalized_words(each.text).split(), prompt)]

    def close(self) -> None:
        self._model = None

    @property
    def model(self) -> "WindowedWhisperModel":
        """faster-whisper's own object."""
        assert self._model is not None, "closed"
        return self._model


def detect_speech(samples: "Samples") -> list[tuple[int, int]]:
    """Return (start, end) of each stretch of speech in 16 kHz samples, found by Silero with faster-whisper's defaults.

    Pauses under two seconds belong to the speech around them.
    """
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    return [(span["start"], span["end"]) for span in get_speech_timestamps(samples, VadOptions(), SAMPLE_RATE)]


def unknown_language_message(language: str, known: Sequence[str]) -> str:
    """Return the error message for a language that the model does not support."""
    return f"This Whisper model does not support the language {language!r}: {suggest(language, known)}"


def _to_segment(raw: Any) -> Segment | None:
    """Convert one of faster-whisper's segments; None for a hallucination."""
    text = raw.text.strip()
    if is_hallucination(text, SegmentStats(raw.no_speech_prob, raw.avg_logprob, raw.compression_ratio)):
        return None
    words = tuple(
        Word(word.word.strip(), float(word.start), float(word.end), round(float(word.probability), 4))
        for word in raw.words or ()
    )
    return Segment(text, float(raw.start), float(raw.end), words)


def _drop_repetitions(segments: list[Segment]) -> list[Segment]:
    """Keep at most two segments in a row with the same words."""
    kept: list[Segment] = []
    times = 0
    for segment in segments:
        times = times + 1 if kept and normalized_words(segment.text) == normalized_words(kept[-1].text) else 1
        if times < 3:
            kept.append(segment)
    return kept
