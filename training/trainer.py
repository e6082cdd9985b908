"""The model of stage 3 with its data: losses of training images, and captions sampled for reward."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from assistant.models.local.checkpoint import read_adapter
from training.caption_rules import to_sentence
from training.curriculum import Curriculum, Sample
from training.decoder import Decoder
from training.features import load_tower
from training.packed_sequences import IMAGE, Batch, PackedSequence, SequencePacker, collate
from training.question_tables import QUESTION_TEMPLATES
from training.recipe import SEED, Recipe
from training.rewards import CaptionReward, advantages, sample_captions
from training.vision_encoder import TrainedVisionEncoder
from training.vision_inputs import VisionInputs

MAX_CAPTION_TOKENS = 24
"""Largest length of a sampled caption, the same as in the evaluation."""


@dataclass(frozen=True)
class Paths:
    """Inputs of a run.

    Attributes:
        data: Data folder.
        work: Work folder.
        tower: The tower's .pth file.
        decoder: Transformers folder of the decoder.
        start_from: Folder of exported weights to start from; None for new ones.
    """

    data: Path
    work: Path
    tower: Path
    decoder: Path
    start_from: Path | None = None


class Trainer:
    """Computes losses of the model that a recipe describes."""

    def __init__(self, paths: Paths, recipe: Recipe, device: str, *, compile_layers: bool) -> None:
        """Load data and model.

        Args:
            paths: Inputs.
            recipe: Hyperparameters.
            device: Device of the model.
            compile_layers: Compile each layer of the decoder. Needs a C++ compiler; three times as fast on a CPU.
        """
        self.recipe = recipe
        self._device = torch.device(device)
        torch.manual_seed(SEED)
        tower = load_tower(paths.tower, "lite2", "cpu")
        self._inputs = VisionInputs(paths.work, tower, recipe)
        class_probabilities = self._inputs.class_probabilities
        self.curriculum = Curriculum(paths.data, paths.work, self._inputs.store, class_probabilities, recipe)
        train = self.curriculum.train
        self._inputs.add_generated(paths.work, tower, {name: train[name] for name in ("caltech101", "imagenet1000")})
        self._captions = self.curriculum.annotations.captions
        self._reward = CaptionReward([self._captions[row] for row in train["flickr8k"]]) if recipe.rewarded else None
        tokenizer = Tokenizer.from_file(str(paths.decoder / "tokenizer.json"))
        self.decoder = Decoder(paths.decoder, recipe.rank, recipe.alpha).to(self._device)
        words = self._inputs.vocabulary.words
        self.vision = TrainedVisionEncoder(
            recipe.vision_config(len(words)),
            self.curriculum.annotations.class_names + words,
            tokenizer,
            self.decoder.embedding.cpu(),
        ).to(self._device)
        if paths.start_from:
            self._load_exported(paths.start_from)
        self.packer = SequencePacker(tokenizer, self.vision.config.num_tokens, recipe.length)
        if compile_layers:
            for index, layer in enumerate(self.decoder.layers):
                # The compiled layer replaces the module itself.
                self.decoder.layers[index] = torch.compile(layer, dynamic=False)  # type: ignore[assignment]

    def _load_exported(self, folder: Path) -> None:
        """Load weights written by `training.export`. None of them depends on the word head's vocabulary."""
        vision = load_file(folder / "eyes.safetensors")
        adapter = read_adapter(folder / "picture_adapter.safetensors")
        with torch.no_grad():
            for name, value in self.vision.trained_state().items():
                value.copy_(vision[name])
            for name, value in self.decoder.lora_state().items():
                value.copy_(adapter.tensors[name])

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the trained parameters with their learning rates, as an optimizer takes them."""
        vision = [parameter for parameter in self.vision.parameters() if parameter.requires_grad]
        lora = [parameter for parameter in self.decoder.parameters() if parameter.requires_grad]
        groups = [{"params": vision, "lr": self.recipe.connector_rate}]
        return [*groups, {"params": lora, "lr": self.recipe.lora_rate}] if lora else groups

    def state(self) -> dict[str, Tensor]:
        """Return the trained weights, as `weights.safetensors` of a run holds them."""
        parts = {"eyes": self.vision.trained_state(), "decoder": self.decoder.lora_state()}
        return {
            f"{part}.{name}": value.cpu().contiguous() for part, state in parts.items() for name, value in state.items()
        }

    def image_tokens(self, samples: list[Sample], rng: random.Random, *, training: bool) -> Tensor:
        """Return the embeddings of each sample's image tokens, bfloat16 (batch, tokens, width)."""
        inputs = self._inputs.batch(samples, rng, training=training)
        with torch.autocast(self._device.type, torch.bfloat16):
            tokens: Tensor = self.vision(*(value.to(self._device) for value in inputs))
            return tokens.to(torch.bfloat16)

    def losses(
        self, samples: list[Sample], sequences: list[PackedSequence], rng: random.Random, *, training: bool
    ) -> tuple[Batch, Tensor, Tensor]:
        """Compute the losses of a batch.

        Args:
            samples: The images.
            sequences: The conversations about each of them.
            rng: Source of augmentation.
            training: Augment the images.

        Returns:
            The batch, the loss of each of its targets, and, without `training`, True for each target that is the most
            probable token.
        """
        batch = collate(sequences, self.recipe.length, torch.bfloat16)
        image_tokens = self.image_tokens(samples, rng, training=training)
        embeddings = F.embedding(batch.tokens.to(self._device), self.decoder.embedding)
        embeddings = embeddings.masked_scatter(batch.image_mask.to(self._device)[..., None], image_tokens)
        hidden = self.decoder(embeddings, batch.positions.to(self._device), batch.mask.to(self._device))
        logits = self.decoder.logits(hidden.flatten(0, 1)[batch.predictors.to(self._device)])
        targets = batch.targets.to(self._device)
        losses = F.cross_entropy(logits.float(), targets, reduction="none")
        return batch, losses, torch.empty(0) if training else logits.argmax(-1) == targets

    def sample_rewarded(self, rng: random.Random) -> tuple[list[Sample], list[PackedSequence], float]:
        """Sample captions for some training images and score them.

        Returns:
            The images, for each a sequence with its captions weighted by their advantages, and the mean reward.
        """
        assert self._reward is not None
        recipe, packer = self.recipe, self.packer
        samples = [self.curriculum.sample_for_reward(rng) for _ in range(recipe.rewarded)]
        question = rng.choice(QUESTION_TEMPLATES["caption"])
        answers = self._sample_answers(samples, question, rng)
        end = packer.end_of_turn[0]
        candidates = [packer.tokenizer.decode(tokens) for tokens in answers]
        references = [
            written
            for sample in samples
            for written in [[to_sentence(text) for text in self._captions[sample.row]]] * recipe.reward_samples
        ]
        rewards = self._reward(candidates, [tokens[-1] == end for tokens in answers], references)
        rewards = rewards.view(len(samples), -1)
        sequences = [
            packer.pack_sampled(question, answers[first : first + recipe.reward_samples], weights)
            for first, weights in zip(
                range(0, len(answers), recipe.reward_samples), advantages(rewards).tolist(), strict=True
            )
        ]
        return samples, sequences, float(rewards.mean())

    def _sample_answers(self, samples: list[Sample], question: str, rng: random.Random) -> list[list[int]]:
        """Sample `reward_samples` answers to a question about each image, up to their end of turn."""
        packer = self.packer
        ids = torch.tensor([*packer.image_prompt, *packer.encode_question(question)], device=self._device)
        with torch.no_grad():
            image_tokens = self.image_tokens(samples, rng, training=False)
        embeddings = F.embedding(ids.clamp(min=0), self.decoder.embedding).repeat(len(samples), 1, 1)
        embeddings[:, ids == IMAGE] = image_tokens
        end = packer.end_of_turn[0]
        sampled = sample_captions(self.decoder, embeddings, self.recipe.reward_samples, MAX_CAPTION_TOKENS, end)
        return [
            tokens[: tokens.index(end) + 1] if end in tokens else tokens for tokens in sampled.flatten(0, 1).tolist()
        ]
