"""How answers are scored: captions against what five people wrote, short answers against the one right answer.

Caption scores are those of pycocoevalcap 1.2 (CIDEr-D of Vedantam et al. 2015, BLEU of Papineni et al. 2002 with the
closest reference length, ROUGE-L of Lin 2004), times 100. Its own tokenizer needs Java; instead, candidates and
references alike become lower-cased words without punctuation.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from training.questions import room_answer


@dataclass(frozen=True)
class CaptionScores:
    """Figures times 100, over all captions of a set."""

    cider_d: float
    bleu_4: float
    bleu_1: float
    rouge_l: float


def caption_words(text: str) -> str:
    """The words of a caption as the scorers see them: "A dog 's t-shirt ." becomes "a dog s t-shirt"."""
    return " ".join(re.findall(r"[a-z0-9]+(?:-[a-z0-9]+)*", text.lower()))


def caption_scores(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> CaptionScores:
    """Score one caption a photo against the `references` of the same photo.

    CIDEr-D weighs words by how few photos of this very set have them, so it means little on a handful of photos.
    """
    # Only this needs pycocoevalcap, which `make train-deps` installs.
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    said = {number: [caption_words(text)] for number, text in enumerate(candidates)}
    written = {number: [caption_words(text) for text in texts] for number, texts in enumerate(references)}
    if len(said) != len(written):
        raise ValueError(f"{len(said)} captions cannot be scored against the references of {len(written)} photos.")
    bleu, _ = Bleu(4).compute_score(written, said, verbose=0)
    cider, _ = Cider().compute_score(written, said)
    rouge, _ = Rouge().compute_score(written, said)
    return CaptionScores(100 * float(cider), 100 * bleu[3], 100 * bleu[0], 100 * float(rouge))


def share(hits: Iterable[bool]) -> float:
    """The percentage of `hits` that are true."""
    counted = list(hits)
    return 100 * sum(counted) / len(counted)


def room_key(answer: str) -> str:
    """What is compared of a room answer: "Garbage bin, 2." and "garbage_bin, two" are the same."""
    return room_answer(answer.strip().rstrip(".")).rstrip(".").lower()


def yes_or_no(answer: str) -> str:
    """What an answer begins with, "yes" or "no", or "" if with neither."""
    match = re.match(r"\W*(yes|no)\b", answer.lower())
    return match.group(1) if match else ""
