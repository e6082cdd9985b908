"""Score answers: captions against five references, short answers against the one right answer.

Caption scores are those of pycocoevalcap 1.2 (CIDEr-D of Vedantam et al. 2015, BLEU of Papineni et al. 2002 with the
closest reference length, ROUGE-L of Lin 2004), times 100. Its own tokenizer needs Java; instead, candidates and
references alike become lower-case words without punctuation.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from training.questions import room_answer


@dataclass(frozen=True)
class CaptionScores:
    """Scores of a set of captions, times 100."""

    cider_d: float
    bleu_4: float
    bleu_1: float
    rouge_l: float


def caption_words(text: str) -> str:
    """Return the words of a caption as the scorers get them: "A dog 's t-shirt ." becomes "a dog s t-shirt"."""
    return " ".join(re.findall(r"[a-z0-9]+(?:-[a-z0-9]+)*", text.lower()))


def caption_scores(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> CaptionScores:
    """Score one caption per image against the `references` of the same image.

    CIDEr-D weighs words by how few images of this very set have them, so it means little on a handful of images.

    Raises:
        ValueError: The numbers of captions and images differ.
    """
    # Only this function needs pycocoevalcap, which `make setup-dev` installs.
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    generated = {index: [caption_words(text)] for index, text in enumerate(candidates)}
    written = {index: [caption_words(text) for text in texts] for index, texts in enumerate(references)}
    if len(generated) != len(written):
        raise ValueError(f"{len(generated)} captions cannot be scored against the references of {len(written)} images.")
    bleu, _ = Bleu(4).compute_score(written, generated, verbose=0)
    cider, _ = Cider().compute_score(written, generated)
    rouge, _ = Rouge().compute_score(written, generated)
    return CaptionScores(100 * float(cider), 100 * bleu[3], 100 * bleu[0], 100 * float(rouge))


def percentage(hits: Iterable[bool]) -> float:
    """Return the percentage of `hits` that are true."""
    counted = list(hits)
    return 100 * sum(counted) / len(counted)


def normalize_room_answer(answer: str) -> str:
    """Return a room answer for comparison: "Garbage bin, 2." and "garbage_bin, two" are the same."""
    return room_answer(answer.strip().rstrip(".")).rstrip(".").lower()


def parse_yes_no(answer: str) -> str:
    """Return the "yes" or "no" with which an answer begins, or ""."""
    match = re.match(r"\W*(yes|no)\b", answer.lower())
    return match.group(1) if match else ""
