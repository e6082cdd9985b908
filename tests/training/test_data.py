"""Reading images from archives."""

from pathlib import Path

from tests.fakes.image_datasets import number_of
from training.data import image_names, read_images


def test_images_are_found_below_any_folder_of_the_archive(data: Path) -> None:
    assert set(image_names(data, "caltech101")) == {f"thing/{number:04}.png" for number in range(60)}
    found = dict(read_images(data, "caltech101", {"thing/0007.png"}))
    assert [number_of(image) for image in found.values()] == [7]


def test_images_come_in_the_order_of_their_names(data: Path) -> None:
    assert [name for name, _ in read_images(data, "caltech101")] == image_names(data, "caltech101")
