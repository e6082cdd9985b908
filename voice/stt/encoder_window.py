"""faster-whisper's model with an encoder that works on as much sound as there is, instead of always 30 s.

Whisper was trained on windows of 30 s, padded with silence. The encoder takes most of the time of a short utterance,
and most of that goes into the padding:

    features ─▶ speech + `MARGIN_SECONDS` ─▶ encoder ─▶ greedy search ─▶ sure? ─▶ words
                                                        └─▶ beam search ─▶ sure? ─▶ words
                                                             └─▶ the padded window, as without this module

A window without padding makes the decoder read the utterance twice, so a margin stays, and every result is checked.
What is left behind the last word of a window is the next window; a moment of silence is no window.
"""

import math
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from faster_whisper import WhisperModel

from voice.stt.hallucinations import COMPRESSION_RATIO_THRESHOLD, normalized_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Features = NDArray[np.float32]

MARGIN_SECONDS = 5.0
"""Padding that is kept behind the speech.

Of 57 clips for development (three voices, also in noise, and actors in German), 3 s had more words wrong than 5 s, and
8 s no fewer. With 1 s the decoder often reads twice.
"""

MIN_LOGPROB = -0.5
"""Average log probability under which the words of a cut window are decoded again from the padded one.

Of the same clips those are 13 % without noise and 44 % in noise. 1.6 % of the words then still differ from those of the
padded window, 3.2 % at -0.7; as many are wrong.
"""

GREEDY_LOGPROB = -0.35
"""Average log probability from which the words of a greedy search are kept, without a beam search.

Of 107 clips for development (three voices, also in noise, and actors in German) those are 53, and none of them has more
words wrong than with a beam search; at -0.4 they are 69 and one has. Of the 36 clips of two clear voices 31 are kept,
which saves an eighth of the processor time; 35 German ones, of which 2 are kept, take a fifteenth more.
"""

_FRAMES_PER_SECOND = 100
# Windows are multiples of this many frames: few different shapes, and even, because the encoder halves their number.
_FRAME_STEP = 64
# A decoder that reads on behind the speech repeats it: its last time is then later than the end of the speech, by more
# than the 1.1 s by which the times of a single word are wrong.
_LATE_SECONDS = 1.5
# Fast speech has 6 tokens a second, with times; scripts that are written in bytes have up to 20. More is a loop.
_TOKENS_PER_SECOND, _EXTRA_TOKENS = 20, 30
# Silero leaves 0.4 s behind the last word. Decoded as a window of its own, it became invented words, mostly hot words,
# and took longer than the utterance, because each temperature was tried. A last word may be in it, though, if the
# sentence has no end.
_MAX_REST_SECONDS = 0.8
_THREE_TIMES = re.compile(r"\b(\w.{0,80}?)(?: \1){2}(?!\w)")
_SENTENCE_MARKS = (".", "!", "?", "。", "！", "？")
_NOTHING_SAID = (SimpleNamespace(no_speech_prob=1.0, sequences_ids=[[]]), -math.inf, 0.0, 0.0)


class WindowedWhisperModel(WhisperModel):  # type: ignore[misc]  # faster-whisper has no types
    """A `WhisperModel` whose encoder leaves out the padding. Not thread-safe."""

    _padded: "Features | None" = None
    """Features of the latest window, with its padding."""
    _encoded: Any = None
    """What the encoder made of it."""
    _windows = 0
    """Number of the latest window of the current audio."""
    _speech_frames = 0
    _is_sentence_over = False
    """Whether the window before ends with a mark that ends a sentence."""
    _is_cut = False
    _is_cutting_supported = True

    def begin(self) -> None:
        """Forget the windows of the audio before."""
        self._padded = self._encoded = None
        self._windows = 0

    def encode(self, features: "Features") -> Any:
        """Encode a window of 30 s without most of its padding. The latest one is encoded once, however often asked.

        The detection of the language and the transcription encode the same first window. The moment behind the last
        word of a sentence is not encoded: the result is None.
        """
        if self._padded is not None and np.array_equal(features, self._padded):
            return self._encoded
        self._padded = features
        self._windows += 1
        sounding = np.flatnonzero(features.any(axis=0))
        self._speech_frames = int(sounding[-1]) + 1 if sounding.size else 0
        if self._is_rest and self._is_sentence_over:
            self._encoded = None
            return None
        frames = window_frames(self._speech_frames, features.shape[-1])
        self._is_cut = self._is_cutting_supported and frames < features.shape[-1]
        try:
            self._encoded = self.encode_unchanged(features[:, :frames] if self._is_cut else features)
        except (RuntimeError, ValueError):
            if not self._is_cut:
                raise
            # An engine may insist on 30 s. If something else is wrong, this raises it again.
            self._is_cut = self._is_cutting_supported = False
            self._encoded = self.encode_unchanged(features)
        return self._encoded

    @property
    def _is_rest(self) -> bool:
        return self._windows > 1 and self._speech_frames < _MAX_REST_SECONDS * _FRAMES_PER_SECOND

    def encode_unchanged(self, features: "Features") -> Any:
        """Encode features of any length up to 30 s, without cutting them."""
        return super().encode(features)

    def generate_with_fallback(self, encoder_output: Any, prompt: list[int], tokenizer: Any, options: Any) -> Any:
        """Decode a window. One that was cut, and is not clearly understood, is decoded from the padded window.

        Returns:
            faster-whisper's tuple: result, average log probability, temperature, compression ratio.
        """
        if encoder_output is None:
            return _NOTHING_SAID
        if self._is_rest:
            # A word of the prompt of hot words is the likeliest thing to be heard in a moment of silence.
            prompt = list(tokenizer.sot_sequence)
        decoded = self._decode(encoder_output, prompt, tokenizer, options)
        self._is_sentence_over = tokenizer.decode(decoded[0].sequences_ids[0]).rstrip().endswith(_SENTENCE_MARKS)
        return decoded

    def _decode(self, encoder_output: Any, prompt: list[int], tokenizer: Any, options: Any) -> Any:
        if not self._is_cut or encoder_output is not self._encoded:
            return super().generate_with_fallback(encoder_output, prompt, tokenizer, options)
        seconds = self._speech_frames / _FRAMES_PER_SECOND
        most_tokens = min(self.max_length - len(prompt), round(_EXTRA_TOKENS + _TOKENS_PER_SECOND * seconds))
        for beam_size, least in ((1, GREEDY_LOGPROB), (options.beam_size, MIN_LOGPROB)):
            changes = {"beam_size": beam_size, "temperatures": [0.0], "max_new_tokens": most_tokens}
            decoded = super().generate_with_fallback(encoder_output, prompt, tokenizer, replace(options, **changes))
            if decoded[1] >= least and self._is_plausible(decoded, tokenizer, options, most_tokens):
                return decoded
        if self._is_rest:
            return _NOTHING_SAID
        assert self._padded is not None
        self._is_cut = False
        self._encoded = self.encode_unchanged(self._padded)
        return super().generate_with_fallback(self._encoded, prompt, tokenizer, options)

    def _is_plausible(self, decoded: Any, tokenizer: Any, options: Any, most_tokens: int) -> bool:
        """Tell whether the decoder has read a cut window once and to its end."""
        result, _, _, compression_ratio = decoded
        tokens = result.sequences_ids[0]
        times = [token - tokenizer.timestamp_begin for token in tokens if token >= tokenizer.timestamp_begin]
        last_time = max(times, default=0) * self.time_precision
        return (
            compression_ratio <= COMPRESSION_RATIO_THRESHOLD
            and result.no_speech_prob <= options.no_speech_threshold
            and len(tokens) < most_tokens - 1
            and last_time <= self._speech_frames / _FRAMES_PER_SECOND + _LATE_SECONDS
            and not _is_repetitive(text := tokenizer.decode(tokens))
            # Neither a mark nor the time of an end: the decoder may have stopped before the last words.
            and (last_time > 0 or text.rstrip().endswith(_SENTENCE_MARKS))
        )


def window_frames(speech_frames: int, padded_frames: int) -> int:
    """Return how many of the `padded_frames` of a window are encoded if the speech ends after `speech_frames`."""
    frames = speech_frames + round(MARGIN_SECONDS * _FRAMES_PER_SECOND)
    return min(padded_frames, -(-frames // _FRAME_STEP) * _FRAME_STEP)


def _is_repetitive(text: str) -> bool:
    """Tell whether the second half of a text repeats the first, or a phrase comes three times in a row."""
    words = normalized_words(text)
    half = (len(words) - 1) // 2
    return (half > 1 and words[:half] == words[half + 1 :]) or _THREE_TIMES.search(words) is not None
