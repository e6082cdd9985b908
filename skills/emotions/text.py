"""What somebody feels by their words: a small head on what goes on in the bundled model while it reads them.

    text ─▶ windows ─▶ "<user> … <assistant> You feel" ─▶ hidden states ─▶ mean and last ─▶ layer ─┐
                  └─▶ words and pairs of words that are known, each by how rare it is ─────────────┴─▶ logits

Logits are of 28 fine emotions, of which several may hold, and of the seven, of which one does.
"""

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from skills.emotions.labels import EMOTIONS, FINE_EMOTIONS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

    States = Callable[[Sequence[str], Sequence[int]], list[Floats]]
    """Hidden states of pieces of text, as `EmotionModels.states` gives them."""

LAYERS = (12, 16, 20)
"""After how many of the decoder's 30 layers its hidden states are looked at; later ones are never computed."""

PROMPT_PREFIX = "<|im_start|>user\n"
PROMPT_SUFFIX = "<|im_end|>\n<|im_start|>assistant\nYou feel"
"""What the text is put between: the model is about to name the feeling, and its last state knows it."""

WINDOW_TOKENS = 64
"""Training cut comments after so many tokens."""

WINDOW_CHARACTERS = 260
"""Longer texts are read in pieces of at most so many characters, because the head was trained on nothing longer."""

MAX_CHARACTERS = 10_000
"""Of a longer text only the beginning is read; that takes some seconds."""

WEIGHTS = "text_head.safetensors"

_SPECIAL = re.compile(r"<\|(?=\w+\|>)")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?|[!?]+|[^\w\s]")
_LETTERS = re.compile(r"[^\W\d_]")
_LATIN = re.compile(r"[A-Za-zÀ-ɏ]")
# Common words of English that its neighbours do not have. An English sentence of a few words has one of them.
_ENGLISH = frozenset(
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
_LEAST_WORDS = 4


@dataclass(frozen=True)
class TextEmotions:
    """The probability of each of `EMOTIONS`, together 1, and of each of `FINE_EMOTIONS`, of which several may hold.

    `said` are the fine ones that are likely enough to be named, likeliest first; `notices` what is to be known of it.
    """

    probabilities: Mapping[str, float]
    fine: Mapping[str, float]
    said: tuple[str, ...]
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class TextHead:
    """The trained weights: see `training.emotion_text`, which makes them."""

    mean: "Floats"
    deviation: "Floats"
    hidden: "Floats"
    hidden_bias: "Floats"
    output: "Floats"
    output_bias: "Floats"
    grams: "NDArray[np.uint32]"
    rarity: "Floats"
    words: "Floats"
    slope: "Floats"
    offset: "Floats"
    thresholds: "Floats"

    @classmethod
    def load(cls) -> "TextHead":
        """The weights that Parley brings along."""
        return _loaded()

    def logits(self, states: "Floats", codes: "Sequence[NDArray[np.uint32]]") -> "Floats":
        """Calibrated logits (texts, 28 + 7) of pooled states (texts, depths * 2 * width) and the codes of words."""
        import numpy as np

        told = np.stack([self._told(each) for each in codes])
        scaled: Floats = self.state_logits(states) * self.slope + told + self.offset
        return scaled

    def state_logits(self, states: "Floats") -> "Floats":
        """What the states alone give, not calibrated."""
        import numpy as np

        inner = np.maximum((states - self.mean) / self.deviation @ self.hidden.T + self.hidden_bias, 0)
        logits: Floats = inner @ self.output.T + self.output_bias
        return logits

    def _told(self, codes: "NDArray[np.uint32]") -> "Floats":
        """What the known among some words say (28 + 7): each by how rare it is, the longer the text the less."""
        places, shares = weight_ngrams(codes, self.grams, self.rarity)
        told: Floats = shares @ self.words[places]
        return told


def classify_text(text: str, states: "States", head: TextHead | None = None) -> TextEmotions:
    """What is felt in `text`, by the hidden `states` of the bundled model.

    Windows of a long text count by their length. Raises what `states` raises.
    """
    import numpy as np

    head = head or TextHead.load()
    text = text.lstrip()
    pieces = split_windows(text[:MAX_CHARACTERS])
    notices = []
    if len(text) > MAX_CHARACTERS:
        notices.append(f"Of the text's {len(text):,} characters only the first {MAX_CHARACTERS:,} were read.")
    if doubt := language_warning(text):
        notices.append(doubt)
    pooled = np.stack([pool_states(states, piece) for piece in pieces])
    logits = head.logits(pooled, [hash_ngrams(piece) for piece in pieces])
    weights = np.array([len(piece) for piece in pieces], float)
    weights /= weights.sum()
    fine = weights @ (1 / (1 + np.exp(-logits[:, : len(FINE_EMOTIONS)])))
    basic = weights @ softmax(logits[:, len(FINE_EMOTIONS) :])
    ratio = fine / head.thresholds
    said = [FINE_EMOTIONS[index] for index in np.argsort(-ratio) if ratio[index] >= 1]
    return TextEmotions(
        dict(zip(EMOTIONS, map(float, basic), strict=True)),
        dict(zip(FINE_EMOTIONS, map(float, fine), strict=True)),
        tuple(said),
        tuple(notices),
    )


def pool_states(states: "States", text: str) -> "Floats":
    """What the head looks at of a window: at each depth the mean over its tokens and the last state, of unit size."""
    import numpy as np

    # Spelled out in a text, a special token would end it.
    _, words, after = (
        rms_normalize(each) for each in states([PROMPT_PREFIX, _SPECIAL.sub("< |", text), PROMPT_SUFFIX], LAYERS)
    )
    return np.stack([words.mean(1), after[:, -1]], 1).reshape(-1)


def rms_normalize(states: "Floats") -> "Floats":
    """`states` (…, width), each divided by its root mean square: between layers, their size means nothing."""
    import numpy as np

    scaled: Floats = states / np.sqrt(np.square(states).mean(-1, keepdims=True))
    return scaled


def hash_ngrams(text: str) -> "NDArray[np.uint32]":
    """The words of a text and the pairs of words that follow each other, each once, by CRC-32."""
    import numpy as np

    words = [word.lower().replace("’", "'") for word in _WORD.findall(text)]
    grams = {*words, *map(" ".join, pairwise(words))}
    return np.array(sorted({zlib.crc32(gram.encode()) for gram in grams}), np.uint32)


def weight_ngrams(
    codes: "NDArray[np.uint32]", grams: "NDArray[np.uint32]", rarity: "Floats"
) -> "tuple[NDArray[np.intp], Floats]":
    """Where the known among `codes` stand in the sorted `grams`, and their `rarity`, brought to the length of 1."""
    import numpy as np

    places = np.searchsorted(grams, codes).clip(max=len(grams) - 1)
    places = places[grams[places] == codes]
    shares = rarity[places]
    return places, shares / max(1e-6, float(np.linalg.norm(shares)))


def split_windows(text: str) -> list[str]:
    """`text` in pieces that the head can judge: whole sentences where they are short enough, else whole words."""
    pieces: list[str] = []
    for sentence in re.split(r"(?<=[.!?…])\s+|\n+", " ".join(text.split(" ")).strip()):
        for part in _fitting(sentence):
            if pieces and len(pieces[-1]) + len(part) < WINDOW_CHARACTERS:
                pieces[-1] += f" {part}"
            elif part:
                pieces.append(part)
    return pieces


def _fitting(sentence: str) -> list[str]:
    parts = []
    while len(sentence) > WINDOW_CHARACTERS:
        cut = sentence.rfind(" ", 1, WINDOW_CHARACTERS)
        cut = cut if cut > 0 else WINDOW_CHARACTERS
        parts.append(sentence[:cut])
        sentence = sentence[cut:].lstrip()
    return [*parts, sentence]


def language_warning(text: str) -> str:
    """A sentence that says why a text may not be understood, if it is likely no English; "" if it may be."""
    letters = _LETTERS.findall(text)
    if not letters:
        return "There are no words in the text, only signs: what is said of it is hardly more than a guess."
    latin = sum(map(bool, map(_LATIN.match, letters)))
    words = [word.lower().replace("’", "'") for word in _WORD.findall(text) if word[0].isalpha()]
    if 2 * latin < len(letters) or (len(words) >= _LEAST_WORDS and not _ENGLISH.intersection(words)):
        return "The text does not look like English, which is all that was learned: do not rely on what is said of it."
    return ""


def softmax(logits: "Floats") -> "Floats":
    """Probabilities (…, classes) of logits."""
    import numpy as np

    powers = np.exp(logits - logits.max(-1, keepdims=True))
    shares: Floats = powers / powers.sum(-1, keepdims=True)
    return shares


@cache
def _loaded() -> TextHead:
    import numpy as np
    from safetensors.numpy import load

    found: dict[str, Any] = load(resources.files("skills.emotions").joinpath("weights", WEIGHTS).read_bytes())
    wide = {name: tensor.astype(np.float32) for name, tensor in found.items() if name != "grams"}
    return TextHead(**wide, grams=found["grams"])
