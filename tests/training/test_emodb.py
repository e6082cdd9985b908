"""Reading EmoDB and its cached features."""

import io
import tarfile
import wave
from pathlib import Path

import numpy as np

from skills.emotions.prosody import RATE, Floats
from skills.emotions.voice import VOICES
from tests.fakes.emotional_clips import clip_features
from training.emodb import ClipFeatures, extract_features


def write_archive(data: Path, labels: dict[str, str]) -> None:
    """Write a second of noise for each name, and a text file without a label."""
    folder = data / "emodb"
    folder.mkdir()
    lines = [f"{name},{label},{name[:2]}" for name, label in labels.items()]
    (folder / "labels.csv").write_text("\n".join(["file,label,speaker", *lines]), encoding="utf-8")
    file = io.BytesIO()
    with wave.open(file, "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(RATE)
        audio.writeframes(np.random.default_rng(0).integers(-3000, 3000, RATE, np.int16).tobytes())
    with tarfile.open(folder / "wavs.tar", "w") as archive:
        for name in ("README.txt", *labels):
            member = tarfile.TarInfo(f"wavs/{name}")
            member.size = len(file.getvalue())
            archive.addfile(member, io.BytesIO(file.getvalue()))


def encode(samples: Floats) -> Floats:
    return np.ones((2, 512), np.float32)


def detect_nothing(samples: Floats) -> list[tuple[int, int]]:
    return []


def test_features_have_the_labels_and_speakers_of_the_table(tmp_path: Path) -> None:
    write_archive(tmp_path, {"03a.wav": "happiness", "08b.wav": "anger"})
    clips = extract_features(tmp_path, encode, lambda samples: [(0, samples.size)])
    assert [VOICES[label] for label in clips.labels] == ["joy", "anger"]
    assert clips.speaker_names == ["03", "08"]
    assert clips.features.shape == (2, 527)


def test_a_clip_without_detected_speech_is_used_completely(tmp_path: Path) -> None:
    write_archive(tmp_path, {"03a.wav": "happiness"})
    assert len(extract_features(tmp_path, encode, detect_nothing).features) == 1


def test_saved_features_are_loaded_again(tmp_path: Path) -> None:
    clips = clip_features()
    clips.save(tmp_path / "work" / "voices.npz")
    loaded = ClipFeatures.load(tmp_path / "work" / "voices.npz")
    assert all(np.array_equal(*pair) for pair in zip(loaded, clips, strict=True))


def test_the_cache_keeps_its_keys(tmp_path: Path) -> None:
    clip_features().save(tmp_path / "voices.npz")
    assert set(np.load(tmp_path / "voices.npz")) == {"rows", "clips", "labels", "speakers"}


def test_selected_clips_are_renumbered() -> None:
    clips = clip_features(speakers=2)
    second = clips.select(clips.speakers == "01")
    assert second.clip_indices.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    assert set(second.speakers) == {"01"}
    assert np.array_equal(second.features, clips.features[14:])
