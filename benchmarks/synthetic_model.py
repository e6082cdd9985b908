"""A model with random weights and a processor for it: what a benchmark needs of a model, without a download."""

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

IMAGE_SIDE, TINY_IMAGE_SIDE = 1024, 256
"""Side of an image in pixels. 32 x 32 pixels make a token: 1,024 tokens an image, and 64 for the tiny model."""

_PATCH, _MERGED = 16, 2
_TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<image>' }}"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{{ '<end>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<reply>' }}{% endif %}"
)


class SyntheticProcessor:
    """Replaces the processor of Qwen-VL, which needs torchvision: words like "w7", and images cut into patches."""

    def __init__(self, config: Any) -> None:
        from tokenizers import Tokenizer, models, pre_tokenizers
        from transformers import PreTrainedTokenizerFast

        self._config = config
        self.side = TINY_IMAGE_SIDE if config.text_config.hidden_size < 1024 else IMAGE_SIDE
        self.chat_template = _TEMPLATE
        self.image_token = "<image>"
        words = {f"w{number}": number for number in range(10, 300)}
        words |= {"<end>": 300, "<reply>": 301, "w7": 5, "w8": 6, "w9": 7, "<image>": config.image_token_id}
        words |= {"<picture>": config.vision_start_token_id, "</picture>": config.vision_end_token_id}
        tokenizer = Tokenizer(models.WordLevel(words, unk_token="w10"))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        self.tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            extra_special_tokens={
                "end_token": "<end>",
                "reply_token": "<reply>",
                "image_token": "<image>",
                "picture_token": "<picture>",
                "picture_end_token": "</picture>",
            },
        )
        self.apply_chat_template = self.tokenizer.apply_chat_template

    def __call__(
        self, text: Sequence[str], images: Any = None, *, return_text_replacement_offsets: bool = False, **_: Any
    ) -> dict[str, Any]:
        """Return the token ids of `text`, with each <image> expanded, and the patches of `images`."""
        grid = self.side // _PATCH
        expanded = f"<picture>{self.image_token * (grid // _MERGED) ** 2}</picture>"
        ids = self.tokenizer(text[0].replace(self.image_token, expanded), add_special_tokens=False)["input_ids"]
        inputs: dict[str, Any] = {"input_ids": torch.tensor([ids])}
        if images:
            inputs["pixel_values"] = torch.cat([_patches(image, self.side) for image in images[0]])
            inputs["image_grid_thw"] = torch.tensor([[1, grid, grid]] * len(images[0]))
            inputs["mm_token_type_ids"] = (inputs["input_ids"] == self._config.image_token_id).int()
        if return_text_replacement_offsets:
            inputs["text_replacement_offsets"] = [[{"replacement": expanded}] * text[0].count(self.image_token)]
        return inputs


def _patches(image: Any, side: int) -> torch.Tensor:
    """Return a PIL image as patches (count, 2 x values of a patch), twice as if for two video frames, in any order."""
    pixels = torch.frombuffer(bytearray(image.resize((side, side)).tobytes()), dtype=torch.uint8).float() / 127.5 - 1
    rows = pixels.view((side // _PATCH) ** 2, -1)
    return torch.cat((rows, rows), 1)


def save_random_weights(config: Any, folder: Path, device: str) -> None:
    """Save a model with random bfloat16 weights in `folder`."""
    from transformers import AutoModelForImageTextToText

    with torch.device(device):
        model: Any = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    del model
    free_memory()


def free_memory() -> None:
    """Free compiled graphs, and memory that nothing refers to."""
    torch._dynamo.reset()  # noqa: SLF001 - documented under this name
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
