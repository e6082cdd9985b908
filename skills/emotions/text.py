"""Emotion from a text: a small head on the bundled model's hidden states, plus a bag of n-grams.

    text ─▶ windows ─┬─▶ "<user> … <assistant> You feel" ─▶ hidden states ─▶ mean and last ─▶ MLP ─┐
                     └─▶ known words and word pairs, weighted by tf-idf ───────────────────────────┴─▶ logits

Logits: 28 fine emotions, of which several may hold (sigmoid), and 7 basic ones, of which one holds (softmax).
"""

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from skills.emotions.labels import EMOTIONS, FINE_EMOTIONS
from skills.emotions.probabilities import softmax

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Hashes = NDArray[np.uint32]

    HiddenStates = Callable[[Sequence[str], Sequence[int]], list[Floats]]
    """`EmotionModels.hidden_states`."""

LAYERS = (12, 16, 20)
"""Layers whose hidden states are used. The decoder has 30; those after the last one here are not computed."""

PROMPT_PREFIX = "<|im_start|>user\n"
PROMPT_SUFFIX = "<|im_end|>\n<|im_start|>assistant\nYou feel"
"""Prompt around the text. The model is about to name the emotion, so its last state encodes it."""

WINDOW_TOKENS = 64
"""Training truncated comments to this length."""

WINDOW_CHARACTERS = 260
"""Longest window of a text: the head was trained on nothing longer."""

MAX_CHARACTERS = 10_000
"""Characters that are read of a longer text. They take some seconds."""

WEIGHTS = "text_head.safetensors"

_SPECIAL_TOKEN = re.compile(r"<\|(?=\w+\|>)")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?|[!?]+|[^\w\s]")
_LETTER = re.compile(r"[^\W\d_]")
_LATIN_LETTER = re.compile(r"[A-Za-zÀ-ɏ]")
# Common English words that related languages do not have. A sentence of a few words contains one of them.
_ENGLISH_WORDS = frozenset(
    """the of and to that it you for with they this have from or not but what when your can there which their if will
    each about how up out them then she many some these would other has two like him see time could no make than
    first been its who people my made over did down only way find may water long little very after words called
    just where most know get through back much before go good new write our day same right look think around
    another came come work three because does part even place well here take why help put different away again off
    went old number great tell say small every found still between should home big give own under read last never
    us left end along while might next sound below saw something thought both few those always show large often
    together asked house don't going want school i'm it's can't he i that's didn't isn't doesn't you're i've won't
    wasn't love hate happy sad sorry thanks thank please yes yeah oh god lol feel really hope""".split()
)
_MIN_WORDS_TO_JUDGE_LANGUAGE = 4


@dataclass(frozen=True)
class TextEmotions:
    """Emotions of a text.

    Attributes:
        probabilities: Of each of `EMOTIONS`; they sum to 1.
        fine: Of each of `FINE_EMOTIONS`, of which several may hold.
        named: Fine emotions above their threshold, likeliest first.
        notices: Reasons to trust the result less.
    """

    probabilities: Mapping[str, float]
    fine: Mapping[str, float]
    named: tuple[str, ...]
    notices: tuple[str, ...] = ()


# Names in the weights file, where they are not those of the attributes.
_TENSOR_NAMES = {"ngram_hashes": "grams", "idf": "rarity", "ngram_weights": "words"}


@dataclass(frozen=True)
class TextHead:
    """Trained weights, made by `training.emotion_text`.

    Width is that of the pooled states: layers * 2 * hidden width. There are 28 + 7 outputs.

    Attributes:
        mean: Of the pooled states (width,).
        deviation: Standard deviation of the pooled states (width,).
        hidden: Weights of the hidden layer (units, width).
        hidden_bias: (units,).
        output: Weights of the output layer (outputs, units).
        output_bias: (outputs,).
        ngram_hashes: Sorted hashes of the known n-grams (n-grams,).
        idf: Inverse document frequency of each n-gram (n-grams,).
        ngram_weights: (n-grams, outputs).
        slope: Calibration of the state logits (outputs,).
        offset: Calibration offset (outputs,).
        thresholds: Probability from which a fine emotion is named (28,).
    """

    mean: "Floats"
    deviation: "Floats"
    hidden: "Floats"
    hidden_bias: "Floats"
    output: "Floats"
    output_bias: "Floats"
    ngram_hashes: "Hashes"
    idf: "Floats"
    ngram_weights: "Floats"
    slope: "Floats"
    offset: "Floats"
    thresholds: "Floats"

    @classmethod
    def load(cls) -> "TextHead":
        """Return the weights that Parley ships."""
        return _load_head()

    def to_tensors(self) -> "dict[str, NDArray[np.generic]]":
        """Return the tensors of the weights file: float16, except the hashes."""
        import numpy as np

        tensors: dict[str, NDArray[np.generic]] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            name = _TENSOR_NAMES.get(each.name, each.name)
            tensors[name] = value if each.name == "ngram_hashes" else value.astype(np.float16)
        return tensors

    def logits(self, states: "Floats", hashes: "Sequence[Hashes]") -> "Floats":
        """Return calibrated logits (texts, 28 + 7).

        Args:
            states: Pooled states (texts, width).
            hashes: N-gram hashes of each text.
        """
        import numpy as np

        ngram_logits = np.stack([self._ngram_logits(each) for each in hashes])
        calibrated: Floats = self.state_logits(states) * self.slope + ngram_logits + self.offset
        return calibrated

    def state_logits(self, states: "Floats") -> "Floats":
        """Return uncalibrated logits (texts, 28 + 7) of the pooled states alone."""
        import numpy as np

        activations = np.maximum((states - self.mean) / self.deviation @ self.hidden.T + self.hidden_bias, 0)
        logits: Floats = activations @ self.output.T + self.output_bias
        return logits

    def _ngram_logits(self, hashes: "Hashes") -> "Floats":
        indices, weights = tfidf_weights(hashes, self.ngram_hashes, self.idf)
        logits: Floats = weights @ self.ngram_weights[indices]
        return logits


def classify_text(text: str, hidden_states: "HiddenStates", head: TextHead | None = None) -> TextEmotions:
    """Recognize the emotion of a text. Windows of a long text are weighted by their length.

    Args:
        text: English text.
        hidden_states: Hidden states of the bundled model.
        head: Trained weights; None for those that Parley ships.
    """
    import numpy as np

    head = head or TextHead.load()
    text = text.lstrip()
    notices = []
    if len(text) > MAX_CHARACTERS:
        notices.append(f"Of the text's {len(text):,} characters only the first {MAX_CHARACTERS:,} were read.")
    if warning := language_warning(text):
        notices.append(warning)
    windows = split_windows(text[:MAX_CHARACTERS])
    pooled = np.stack([pool_states(hidden_states, window) for window in windows])
    logits = head.logits(pooled, [hash_ngrams(window) for window in windows])
    weights = np.array([len(window) for window in windows], float)
    weights /= weights.sum()
    fine = weights @ (1 / (1 + np.exp(-logits[:, : len(FINE_EMOTIONS)])))
    basic = weights @ softmax(logits[:, len(FINE_EMOTIONS) :])
    ratio = fine / head.thresholds
    return TextEmotions(
        probabilities=dict(zip(EMOTIONS, map(float, basic), strict=True)),
        fine=dict(zip(FINE_EMOTIONS, map(float, fine), strict=True)),
        named=tuple(FINE_EMOTIONS[index] for index in np.argsort(-ratio) if ratio[index] >= 1),
        notices=tuple(notices),
    )


def pool_states(hidden_states: "HiddenStates", text: str) -> "Floats":
    """Return the features (width,) of a window: per layer, the mean over the text and the last state of the prompt."""
    import numpy as np

    # A special token spelled out in the text would end it.
    prompt = [PROMPT_PREFIX, _SPECIAL_TOKEN.sub("< |", text), PROMPT_SUFFIX]
    _, inside, after = (rms_normalize(each) for each in hidden_states(prompt, LAYERS))
    return np.stack([inside.mean(1), after[:, -1]], 1).reshape(-1)


def rms_normalize(states: "Floats") -> "Floats":
    """Divide each state (..., width) by its root mean square. The scale differs between layers and carries nothing."""
    import numpy as np

    normalized: Floats = states / np.sqrt(np.square(states).mean(-1, keepdims=True))
    return normalized


def hash_ngrams(text: str) -> "Hashes":
    """Return the sorted CRC-32 hashes of the words and word pairs of a text, each once."""
    import numpy as np

    words = _words(text)
    ngrams = {*words, *map(" ".join, pairwise(words))}
    return np.array(sorted({zlib.crc32(ngram.encode()) for ngram in ngrams}), np.uint32)


def tfidf_weights(hashes: "Hashes", known: "Hashes", idf: "Floats") -> "tuple[NDArray[np.intp], Floats]":
    """Return the indices of `hashes` in the sorted `known` hashes, and their idf, normalized to length 1."""
    import numpy as np

    indices = np.searchsorted(known, hashes).clip(max=len(known) - 1)
    indices = indices[known[indices] == hashes]
    weights = idf[indices]
    return indices, weights / max(1e-6, float(np.linalg.norm(weights)))


def split_windows(text: str) -> list[str]:
    """Split a text into windows of `WINDOW_CHARACTERS`: between sentences, else between words."""
    windows: list[str] = []
    for sentence in re.split(r"(?<=[.!?…])\s+|\n+", text.strip()):
        for part in _split_sentence(sentence):
            if windows and len(windows[-1]) + len(part) < WINDOW_CHARACTERS:
                windows[-1] += f" {part}"
            elif part:
                windows.append(part)
    return windows


def language_warning(text: str) -> str:
    """Return a sentence if a text is probably not English, which the head was trained on, else ""."""
    letters = _LETTER.findall(text)
    if not letters:
        return "There are no words in the text, only signs: what is said of it is hardly more than a guess."
    latin = sum(1 for letter in letters if _LATIN_LETTER.match(letter))
    words = [word for word in _words(text) if word[0].isalpha()]
    has_no_english = len(words) >= _MIN_WORDS_TO_JUDGE_LANGUAGE and not _ENGLISH_WORDS.intersection(words)
    if 2 * latin < len(letters) or has_no_english:
        return "The text does not look like English, which is all that was learned: do not rely on what is said of it."
    return ""


def _words(text: str) -> list[str]:
    """Return lower-case words and punctuation marks."""
    return [word.lower().replace("’", "'") for word in _WORD.findall(text)]


def _split_sentence(sentence: str) -> list[str]:
    parts = []
    while len(sentence) > WINDOW_CHARACTERS:
        cut = sentence.rfind(" ", 1, WINDOW_CHARACTERS)
        cut = cut if cut > 0 else WINDOW_CHARACTERS
        parts.append(sentence[:cut])
        sentence = sentence[cut:].lstrip()
    return [*parts, sentence]


@cache
def _load_head() -> TextHead:
    import numpy as np
    from safetensors.numpy import load

    tensors = load(resources.files("skills.emotions").joinpath("weights", WEIGHTS).read_bytes())
    attributes = {stored: name for name, stored in _TENSOR_NAMES.items()}
    named: dict[str, Any] = {attributes.get(name, name): tensor for name, tensor in tensors.items()}
    hashes = named.pop("ngram_hashes")
    return TextHead(ngram_hashes=hashes, **{name: tensor.astype(np.float32) for name, tensor in named.items()})
