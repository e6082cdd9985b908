"""Recall and false alarms of the face detectors on photos, and their time.

    python -m benchmarks.faces --data DATA

`face_photos.json` holds boxes that were drawn by hand on 240 photos of Flickr8k whose captions speak of faces, people
who pose or a camera, and the names of 326 photos without a face from Flickr8k, Caltech 101 and DAQUAR. No photo is
copied: DATA is the folder that `training.data` reads. The photos have 224 x 224 pixels, to which they were squashed
(DAQUAR's up to 320).

Kinds of boxes: "f" is a face seen from the front or half from the side, "p" one in profile. Neither counts for nor
against a detector: "i", a face that is blurred, upside down, mostly hidden or painted over, and what has 40 pixels or
fewer. Thresholds were chosen on the photos with even places in the file; the odd ones are the test.
"""

import argparse
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import PIL.Image

from assistant.progress import no_progress
from assistant.settings import load
from skills.emotions.face_boxes import Box, FaceDetector
from skills.emotions.face_cascade import FaceCascade
from skills.emotions.face_detectors import HaarDetector, MtcnnDetector
from skills.emotions.face_weights import fetch_weights
from training.data import read_images

PHOTOS = Path(__file__).parent / "face_photos.json"
MIN_PIXELS = 40
# A detection is this face if they share this much of the union of both.
MATCH, MATCH_IGNORED = 0.3, 0.1


@dataclass
class Score:
    """Counts of one detector on some of the photos.

    Attributes:
        found: Faces found, by kind.
        faces: Faces there are, by kind.
        detections: Detections over `MIN_PIXELS` on photos with faces.
        false_detections: Those of them that are no face.
        photos_without: Photos without a face.
        false_photos: Those of them on which anything is detected.
        milliseconds: Processor time for each photo.
    """

    found: dict[str, int] = field(default_factory=lambda: {"f": 0, "p": 0})
    faces: dict[str, int] = field(default_factory=lambda: {"f": 0, "p": 0})
    detections: int = 0
    false_detections: int = 0
    photos_without: int = 0
    false_photos: int = 0
    milliseconds: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        found, faces = sum(self.found.values()), sum(self.faces.values())
        return (
            f"{found}/{faces} faces ({100 * found / faces:.1f} %; front {self.found['f']}/{self.faces['f']}, "
            f"profile {self.found['p']}/{self.faces['p']}); false: {self.false_detections} of {self.detections} "
            f"detections, {self.false_photos} of {self.photos_without} photos without a face "
            f"({100 * self.false_photos / self.photos_without:.1f} %); "
            f"{statistics.median(self.milliseconds):.0f} ms of processor time a photo"
        )


def evaluate(
    detector: FaceDetector,
    faces: Mapping[str, Sequence[Sequence[object]]],
    images: Mapping[str, PIL.Image.Image],
    photos_without: Sequence[PIL.Image.Image],
) -> Score:
    """Score a detector.

    Args:
        detector: Finds faces.
        faces: Left, top, right, bottom and kind of each face, by name of the photo.
        images: Photos by name.
        photos_without: Photos without a face.
    """
    score = Score()
    for name, marked in faces.items():
        found = [box for box in _timed(detector, images[name], score) if _longest_side(box) > MIN_PIXELS]
        explained: set[int] = set()
        for *sides, kind in marked:
            least = MATCH_IGNORED if kind == "i" else MATCH
            matches = {index for index, box in enumerate(found) if _shared(sides, box) >= least}
            explained |= matches
            if isinstance(kind, str) and kind in score.faces:
                score.faces[kind] += 1
                score.found[kind] += bool(matches)
        score.detections += len(found)
        score.false_detections += len(found) - len(explained)
    for image in photos_without:
        score.photos_without += 1
        score.false_photos += bool(_timed(detector, image, score))
    return score


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    data: Path = parser.parse_args().data
    photos = json.loads(PHOTOS.read_text("utf-8"))
    images = {name: image.convert("RGB") for name, image in read_images(data, "flickr8k", photos["faces"].keys())}
    without = [
        image.convert("RGB")
        for dataset, names in photos["without"].items()
        for _, image in read_images(data, dataset, set(names))
    ]
    mtcnn = MtcnnDetector(FaceCascade.load(fetch_weights(load().settings.cache_dir, no_progress)))
    detectors: dict[str, FaceDetector] = {"MTCNN": mtcnn, "Haar": HaarDetector()}
    for name, detector in detectors.items():
        for part, start in (("even", 0), ("odd (test)", 1)):
            faces = dict(list(photos["faces"].items())[start::2])
            print(f"{name}, {part}: {evaluate(detector, faces, images, without[start::2])}", flush=True)


def _timed(detector: FaceDetector, image: PIL.Image.Image, score: Score) -> list[Box]:
    started = time.process_time()
    found = detector.find(image)
    score.milliseconds.append(1000 * (time.process_time() - started))
    return found


def _longest_side(box: Box) -> int:
    return max(box.right - box.left, box.bottom - box.top)


def _shared(sides: Sequence[object], box: Box) -> float:
    """Return the intersection of two boxes over their union."""
    left, top, right, bottom = (int(str(side)) for side in sides)
    width = min(right, box.right) - max(left, box.left)
    height = min(bottom, box.bottom) - max(top, box.top)
    shared = max(0, width) * max(0, height)
    both = (right - left) * (bottom - top) + (box.right - box.left) * (box.bottom - box.top)
    return shared / (both - shared) if shared else 0.0


if __name__ == "__main__":
    main()
