"""Reading GoEmotions and its hidden states."""

from pathlib import Path

import numpy as np
import pytest

from skills.emotions.labels import EMOTIONS, FINE_EMOTIONS
from training.goemotions import group_labels, load_split


def write_split(data: Path, work: Path, split: str) -> None:
    """Write three comments, and the hidden states of the first two."""
    joy, fear = FINE_EMOTIONS.index("joy"), FINE_EMOTIONS.index("fear")
    folder = data / "goemotions"
    folder.mkdir(exist_ok=True)
    lines = ["text\tlabels\tid", f"so happy\t{joy}\ta", f"happy but scared\t{joy},{fear}\tb", f"scared\t{fear}\tc"]
    (folder / f"{split}.tsv").write_text("\n".join(lines), encoding="utf-8")
    (work / "emotion").mkdir(exist_ok=True)
    for number in range(2):
        np.save(work / "emotion" / f"states-{split}-{number:03}.npy", np.full((1, 3, 2, 4), number, np.float16))


def test_a_comment_has_the_groups_of_its_fine_labels() -> None:
    fine = np.zeros((2, len(FINE_EMOTIONS)), bool)
    fine[0, [FINE_EMOTIONS.index(name) for name in ("grief", "remorse", "love")]] = True
    fine[1, FINE_EMOTIONS.index("neutral")] = True
    groups = [[EMOTIONS[index] for index in np.flatnonzero(row)] for row in group_labels(fine)]
    assert groups == [["joy", "sadness"], ["neutral"]]


def test_dev_is_cut_to_the_comments_with_hidden_states(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_split(tmp_path, tmp_path, "dev")
    dev = load_split(tmp_path, tmp_path, "dev")
    assert dev.texts == ["so happy", "happy but scared"]
    assert dev.states.tolist() == [[0.0] * 24, [1.0] * 24]
    assert [np.flatnonzero(row).size for row in dev.fine] == [1, 2]
    assert "hidden states of 2 of 3 comments" in capsys.readouterr().out


def test_train_keeps_comments_without_hidden_states_for_the_ngrams(tmp_path: Path) -> None:
    write_split(tmp_path, tmp_path, "train")
    train = load_split(tmp_path, tmp_path, "train")
    assert len(train.states) == 2
    assert len(train.hashes) == len(train.basic) == 3
