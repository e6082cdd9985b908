"""Preprocess and encode images, each once, and cache the result.

    Image ─▶ processor ─▶ prompt text with the image tokens, and pixels ─▶ vision tower ─▶ a feature vector per token

The number of tokens is known before the image is encoded, and encoding waits until the tokens are prefilled: an image
whose keys and values are in the KV cache is not encoded again. Features stay in main memory, not on the GPU.

Each image is preprocessed and encoded alone, so that its features do not depend on other images. Batching them was also
slower on the bundled model (45 ms an image instead of 38 ms).
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from assistant.attachments.images import decode
from assistant.errors import AttachmentError, ModelError, first_line
from assistant.messages import Image
from assistant.models.local import image_detail

# Bytes: thousands of images for a small model, those of a full context for a large one.
_MAX_BYTES = 2**30


@dataclass
class EncodedImage:
    """An image that has been preprocessed, and encoded once its features were needed.

    Attributes:
        key: Identifies the image and the options it was preprocessed with.
        text: Prompt text that replaces the image's placeholder.
        num_tokens: Number of image tokens in `text`.
        inputs: Inputs of the vision tower; empty once the image is encoded.
        features: Outputs of the vision tower, each (num_tokens, hidden_size). The first replaces the embeddings, the
            others are added by later layers in families that do so. Empty until the image is encoded.
        grid_thw: Patches in time, height and width, shape (1, 3), for families with M-RoPE.
    """

    key: str
    text: str
    num_tokens: int
    inputs: dict[str, Tensor] = field(default_factory=dict, repr=False)
    features: tuple[Tensor, ...] = field(default=(), repr=False)
    grid_thw: Tensor | None = None

    @property
    def num_bytes(self) -> int:
        """Bytes of memory that it takes."""
        return sum(tensor.nbytes for tensor in (*self.inputs.values(), *self.features))


class ImageEncoder:
    """The vision tower of a model, with a cache of the images it has processed."""

    def __init__(
        self,
        model: Any,
        processor: Any,
        max_pixels: int = image_detail.HIGH_PIXELS,
        *,
        max_bytes: int = _MAX_BYTES,
    ) -> None:
        """Create an encoder with an empty cache.

        Args:
            model: Transformers' model.
            processor: Transformers' processor.
            max_pixels: Most pixels of an image; larger ones are scaled down.
            max_bytes: Size of the cache in bytes.
        """
        self._model = model
        self._processor = processor
        self._max_bytes = max_bytes
        self._cache: OrderedDict[str, EncodedImage] = OrderedDict()
        self._output_type: type = list
        self.processor_options = self._options_for(max_pixels)
        """Options for the image processor."""

    def replica(self, processor: Any, count: int) -> "ImageEncoder":
        """Return an encoder with the same weights and options, for another thread.

        Args:
            processor: A copy of the processor.
            count: Number of replicas. Their caches together are as large as this one's.
        """
        replica = ImageEncoder(self._model, processor, max_bytes=self._max_bytes // count)
        replica.processor_options = self.processor_options
        return replica

    def lower_resolution(self) -> bool:
        """Process images at the lowest resolution from now on. Return False if that is the case already."""
        before, self.processor_options = self.processor_options, self._options_for(image_detail.LOW_PIXELS)
        return self.processor_options != before

    def expand_placeholders(self, text: str, images: Sequence[Image]) -> tuple[str, list[EncodedImage]]:
        """Replace each placeholder in `text` by the tokens of its image.

        Returns:
            The new text, and the preprocessed images in order.

        Raises:
            ModelError: The number of placeholders is not that of `images`.
            AttachmentError: An image cannot be preprocessed.
        """
        before, *after = text.split(self._processor.image_token)
        if len(after) != len(images):
            raise image_token_mismatch(len(images), len(after))
        encoded = [self._preprocessed(image) for image in images]
        self._evict({image.key for image in encoded})
        expanded = (image.text + following for image, following in zip(encoded, after, strict=True))
        return "".join((before, *expanded)), encoded

    def features(self, images: Sequence[EncodedImage], start: int, end: int) -> tuple[Tensor, ...]:
        """Return the features of image tokens `start` to `end`, counted through all `images`.

        Encodes those that have not been encoded yet.

        Returns:
            Tensors (image_tokens, hidden_size) on the model's device, as in `EncodedImage.features`. Empty if there is
            no such token, as for an image token that the model has generated itself.
        """
        parts: list[tuple[Tensor, ...]] = []
        offset = 0
        for image in images:
            first, last = max(start - offset, 0), min(end - offset, image.num_tokens)
            if first < last:
                self._encode(image)
                parts.append(tuple(features[first:last] for features in image.features))
            offset += image.num_tokens
        device = self._model.device
        return tuple(torch.cat(part).to(device) for part in zip(*parts, strict=True))

    def as_encoder_output(self, features: Sequence[Tensor]) -> Any:
        """Wrap `features` the way the model's `get_image_features` returns those of one image."""
        embeddings, *added = features
        output = SimpleNamespace(pooler_output=embeddings if issubclass(self._output_type, Tensor) else [embeddings])
        if added:
            output.deepstack_features = [[layer] for layer in added]
        return output

    def clear(self) -> None:
        """Empty the cache."""
        self._cache.clear()

    def _options_for(self, pixels: int) -> dict[str, Any]:
        return image_detail.processor_options(getattr(self._processor, "image_processor", None), pixels)

    def _preprocessed(self, image: Image) -> EncodedImage:
        # With other options it is another image to the model.
        key = f"{image.digest} {self.processor_options}"
        encoded = self._cache.pop(key, None) or self._preprocess(image, key)
        self._cache[key] = encoded
        return encoded

    def _preprocess(self, image: Image, key: str) -> EncodedImage:
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
            # For example a strip that is two hundred times as long as it is wide.
            raise AttachmentError(f"{image.name} cannot be shown to the model: {error}.") from error
        ((replacement,),) = inputs.pop("text_replacement_offsets")
        ids = inputs.pop("input_ids")
        for name in ("attention_mask", "token_type_ids", "mm_token_type_ids"):
            inputs.pop(name, None)
        num_tokens = int((ids == self._model.config.image_token_id).sum())
        return EncodedImage(key, replacement["replacement"], num_tokens, inputs, grid_thw=inputs.get("image_grid_thw"))

    def _encode(self, image: EncodedImage) -> None:
        if image.features:
            return
        device, dtype = self._model.device, self._model.dtype
        inputs = {
            name: value.to(device, dtype if value.is_floating_point() else value.dtype)
            for name, value in image.inputs.items()
        }
        try:
            output = self._model.get_image_features(**inputs)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # Values of a configuration that pass at loading, such as a layer that the vision tower does not have.
            reason = first_line(error)
            raise ModelError(
                f"The model's configuration does not fit its vision tower ({reason}): get a fresh copy of it."
            ) from error
        self._output_type = type(output.pooler_output)
        layers = (output.pooler_output, *(getattr(output, "deepstack_features", None) or ()))
        features = tuple(_flatten(layer).cpu() for layer in layers)
        if len(features[0]) != image.num_tokens:
            raise image_token_mismatch(len(features[0]), image.num_tokens)
        image.features, image.inputs = features, {}

    def _evict(self, in_use: set[str]) -> None:
        """Remove the least recently used images until the cache fits; never those of the current prompt, `in_use`."""
        surplus = sum(image.num_bytes for image in self._cache.values()) - self._max_bytes
        for key in [key for key in self._cache if key not in in_use]:
            if surplus <= 0:
                break
            surplus -= self._cache.pop(key).num_bytes


def image_token_mismatch(expected: int, found: int) -> ModelError:
    """Create the error for a prompt with `found` instead of `expected` places for images."""
    return ModelError(
        f"The model's chat template leaves {found} places for pictures where there should be {expected}: "
        "it may not take pictures, or not several."
    )


def _flatten(layer: Any) -> Tensor:
    """Flatten the features of one image, a tensor or one for each of its tiles, to (image_tokens, hidden_size)."""
    tensor = layer if isinstance(layer, Tensor) else torch.cat([part.flatten(0, -2) for part in layer])
    return tensor.flatten(0, -2)
