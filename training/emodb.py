"""Read EmoDB, and extract the features of its clips.

EmoDB (Burkhardt et al. 2005): ten actors speak ten German sentences in seven emotions.
"""

import csv
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from assistant import settings
from parley.factory.voice import assemble_whisper
from skills.emotions.prosody import Floats
from skills.emotions.voice import VOICES, DetectSpeech, Encode, features
from voice.audio.decode import open_audio
from voice.stt.whisper import Whisper

# EmoDB's labels to `VOICES`.
_LABELS = {"happiness": "joy"} | {name: name for name in VOICES if name != "joy"}


class Clip(NamedTuple):
    """A clip: mono samples at 16 kHz, the index of its label in `VOICES`, and the name of its speaker."""

    samples: Floats
    label: int
    speaker: str


class ClipFeatures(NamedTuple):
    """Features of several clips, each of which has one or more segments of about two seconds.

    Attributes:
        features: (segments, width).
        clip_indices: Clip of each segment (segments,).
        labels: Label of each clip as an index of `VOICES` (clips,).
        speakers: Speaker of each clip (clips,).
    """

    features: Floats
    clip_indices: NDArray[np.int64]
    labels: NDArray[np.int64]
    speakers: NDArray[np.str_]

    @property
    def speaker_names(self) -> list[str]:
        """Each speaker once, sorted."""
        return sorted(set(self.speakers.tolist()))

    def select(self, mask: NDArray[np.bool_]) -> "ClipFeatures":
        """Return the clips where `mask` (clips,) is true, renumbered."""
        new_indices = np.cumsum(mask) - 1
        segments = mask[self.clip_indices]
        return ClipFeatures(
            self.features[segments],
            new_indices[self.clip_indices[segments]],
            self.labels[mask],
            self.speakers[mask],
        )

    def save(self, path: Path) -> None:
        """Write an npz file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, rows=self.features, clips=self.clip_indices, labels=self.labels, speakers=self.speakers)

    @classmethod
    def load(cls, path: Path) -> "ClipFeatures":
        """Read what `save` wrote."""
        arrays = np.load(path)
        return cls(arrays["rows"], arrays["clips"], arrays["labels"], arrays["speakers"])


def read_clips(data: Path) -> Iterator[Clip]:
    """Yield every clip, in the order of the archive."""
    folder = data / "emodb"
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as lines:
        rows = {row["file"]: row for row in csv.DictReader(lines)}
    with tarfile.open(folder / "wavs.tar") as archive:
        for member in archive:
            row = rows.get(Path(member.name).name)
            file = archive.extractfile(member) if row else None
            if row is None or file is None:
                continue
            with open_audio(io.BytesIO(file.read()), member.name) as audio:
                samples = np.concatenate(list(audio.blocks()))
            yield Clip(samples, VOICES.index(_LABELS[row["label"]]), row["speaker"])


def extract_features(data: Path, encode: Encode, detect_speech: DetectSpeech) -> ClipFeatures:
    """Return the features of every clip. A clip without detected speech is used completely, so that none is lost."""
    segments: list[Floats] = []
    clip_indices: list[int] = []
    labels: list[int] = []
    speakers: list[str] = []
    for index, clip in enumerate(read_clips(data)):
        rows, _ = features(clip.samples, encode, detect_speech)
        if not len(rows):
            rows = features_without_vad(clip.samples, encode)
        segments.append(rows)
        clip_indices += [index] * len(rows)
        labels.append(clip.label)
        speakers.append(clip.speaker)
    return ClipFeatures(np.concatenate(segments), np.array(clip_indices), np.array(labels), np.array(speakers))


def features_without_vad(samples: Floats, encode: Encode) -> Floats:
    """Return features (segments, width) of samples at 16 kHz, all of which count as speech."""
    return features(samples, encode, lambda speech: [(0, speech.size)])[0]


def load_whisper() -> Whisper:
    """Load the Whisper whose encoder the emotion skill uses."""
    return Whisper.load(str(assemble_whisper(settings.load({}).settings)), device="cpu")
