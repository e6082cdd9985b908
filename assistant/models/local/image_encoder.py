"""Pictures as a family of models reads them: prepared once, encoded once, and forgotten when there are too many.

    Image ─▶ processor ─▶ text with a placeholder for each place, and pixels ─▶ vision tower ─▶ a row for each place

What a picture takes of a prompt is known before it is encoded, and encoding waits until its places are read: a picture
whose keys and values are remembered is not looked at again. Rows stay in the memory of the computer, not in the GPU's.
Each picture is prepared and encoded alone, so that no other changes a bit of it; of several at once each took longer
with the bundled model (45 ms for 38 ms). It is encoded on as many cores by a replica as by the model itself: on another
number convolutions add up in another order, which changed logits by up to 0.05, and with that some day a word.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from assistant.attachments.images import decode
from assistant.errors import AttachmentError, ModelError
from assistant.messages import Image
from assistant.models.local import image_detail
from assistant.models.local.cpu_threads import num_threads

# Thousands of pictures of a small model, a full context of pictures of a large one.
_MOST_BYTES = 2**30


@dataclass
class EncodedImage:
    """A picture as it is known: `key` names what is seen of it, `text` stands for it in a prompt, in `places` tokens.

    `inputs` are what the vision tower takes, until it has taken them; `rows` what it made of them, each (places,
    width): first what stands in the place of the embeddings, then what later layers add to it, in families that do so.
    `grid` (1, 3) are its patches in time, height and width, for a family that counts so.
    """

    key: str
    text: str
    num_tokens: int
    inputs: dict[str, Tensor] = field(default_factory=dict, repr=False)
    features: tuple[Tensor, ...] = field(default=(), repr=False)
    grid_thw: Tensor | None = None

    @property
    def num_bytes(self) -> int:
        """What it takes of the memory."""
        return sum(tensor.nbytes for tensor in (*self.inputs.values(), *self.features))


class ImageEncoder:
    """The pictures that a `model` was shown, prepared by its `processor` (transformers') with at most `pixels` each."""

    def __init__(
        self,
        model: Any,
        processor: Any,
        max_pixels: int = image_detail.HIGH_PIXELS,
        *,
        max_bytes: int = _MOST_BYTES,
        num_threads: int | None = None,
    ) -> None:
        """No more than `most_bytes` of them are kept. `cores` encode them, None as many as the thread computes on."""
        self._model = model
        self._processor = processor
        self._most_bytes = max_bytes
        self._cores = num_threads
        self._cache: OrderedDict[str, EncodedImage] = OrderedDict()
        self._kind: type = list
        self.processor_options = self._options(max_pixels)
        """What the image processor is told."""

    def replica(self, processor: Any, count: int) -> "ImageEncoder":
        """Other pictures of the same model, prepared by another `processor` in the same way, to be used on a thread of
        their own. `count` of them keep together what one may keep.
        """
        most_bytes, cores = self._most_bytes // count, torch.get_num_threads()
        replica = ImageEncoder(self._model, processor, max_bytes=most_bytes, num_threads=cores)
        replica.processor_options = self.processor_options
        return replica

    def lower_resolution(self) -> bool:
        """Show pictures at the lowest detail from here on; False if they are shown like that already."""
        before, self.processor_options = self.processor_options, self._options(image_detail.LOW_PIXELS)
        return self.processor_options != before

    def expand_placeholders(self, text: str, images: Sequence[Image]) -> tuple[str, list[EncodedImage]]:
        """`text` with each placeholder of one of `images` written out, and these in order.

        Raises `ModelError` if there are not as many placeholders, `AttachmentError` for what cannot be shown.
        """
        before, *after = text.split(self._processor.image_token)
        if len(after) != len(images):
            raise image_token_mismatch(len(images), len(after))
        pictures = [self._prepared(image) for image in images]
        self._forget_surplus({picture.key for picture in pictures})
        written = (picture.text + words for picture, words in zip(pictures, after, strict=True))
        return "".join((before, *written)), pictures

    def features(self, pictures: Sequence[EncodedImage], start: int, end: int) -> tuple[Tensor, ...]:
        """What the model sees in the places from `start` up to `end`, counted through all `pictures`.

        The first are embeddings, the others what later layers add, each (places, width) on the model's device. Empty
        where there is no such place: a placeholder that a model has written itself is none.
        """
        parts: list[tuple[Tensor, ...]] = []
        first = 0
        for picture in pictures:
            begin, stop = max(start - first, 0), min(end - first, picture.num_tokens)
            if begin < stop:
                self._encode(picture)
                parts.append(tuple(rows[begin:stop] for rows in picture.features))
            first += picture.num_tokens
        device = self._model.device
        return tuple(torch.cat(part).to(device) for part in zip(*parts, strict=True))

    def as_encoder_output(self, rows: Sequence[Tensor]) -> Any:
        """`rows` in the form in which the model takes what its vision tower has made, as one picture."""
        embeddings, *added = rows
        seen = SimpleNamespace(pooler_output=embeddings if issubclass(self._kind, Tensor) else [embeddings])
        if added:
            seen.deepstack_features = [[layer] for layer in added]
        return seen

    def clear(self) -> None:
        """Forget all of them."""
        self._cache.clear()

    def _options(self, pixels: int) -> dict[str, Any]:
        return image_detail.processor_options(getattr(self._processor, "image_processor", None), pixels)

    def _prepared(self, image: Image) -> EncodedImage:
        # What was seen of it with other options is another picture to the model.
        key = f"{image.digest} {self.processor_options}"
        picture = self._cache.pop(key, None) or self._prepare(image, key)
        self._cache[key] = picture
        return picture

    def _prepare(self, image: Image, key: str) -> EncodedImage:
        placeholder = self._processor.image_token
        options = {"images_kwargs": self.processor_options} if self.processor_options else {}
        try:
            inputs = dict(
                self._processor(
                    text=[placeholder],
                    images=[[decode(image)]],
                    return_tensors="pt",
                    add_special_tokens=False,
                    return_text_replacement_offsets=True,
                    **options,
                )
            )
        except ValueError as error:
            # A strip two hundred times as long as it is wide, for one.
            raise AttachmentError(f"{image.name} cannot be shown to the model: {error}.") from error
        ((written,),) = inputs.pop("text_replacement_offsets")
        ids = inputs.pop("input_ids")
        for name in ("attention_mask", "token_type_ids", "mm_token_type_ids"):
            inputs.pop(name, None)
        places = int((ids == self._model.config.image_token_id).sum())
        return EncodedImage(key, written["replacement"], places, inputs, grid_thw=inputs.get("image_grid_thw"))

    def _encode(self, picture: EncodedImage) -> None:
        if picture.features:
            return
        device, dtype = self._model.device, self._model.dtype
        moved = {
            name: value.to(device, dtype if value.is_floating_point() else value.dtype)
            for name, value in picture.inputs.items()
        }
        with num_threads(self._cores):
            output = self._model.get_image_features(**moved)
        self._kind = type(output.pooler_output)
        layers = (output.pooler_output, *(getattr(output, "deepstack_features", None) or ()))
        rows = tuple(_rows(layer).cpu() for layer in layers)
        if len(rows[0]) != picture.num_tokens:
            raise image_token_mismatch(len(rows[0]), picture.num_tokens)
        picture.features, picture.inputs = rows, {}

    def _forget_surplus(self, latest: set[str]) -> None:
        """Forget pictures beyond what may be kept, the longest unused first, never those of the `latest` prompt."""
        surplus = sum(picture.num_bytes for picture in self._cache.values()) - self._most_bytes
        for key in [key for key in self._cache if key not in latest]:
            if surplus <= 0:
                break
            surplus -= self._cache.pop(key).num_bytes


def image_token_mismatch(wanted: int, found: int) -> ModelError:
    """There are `found` places for pictures in a prompt, and should be `wanted`."""
    return ModelError(
        f"The model's chat template leaves {found} places for pictures where there should be {wanted}: "
        "it may not take pictures, or not several."
    )


def _rows(layer: Any) -> Tensor:
    """Features of one picture, in a tensor for each of its tiles or in one of them all, as (places, width)."""
    tensor = layer if isinstance(layer, Tensor) else torch.cat([part.flatten(0, -2) for part in layer])
    return tensor.flatten(0, -2)
