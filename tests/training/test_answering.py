"""Answers in batches equal answers one at a time."""

from pathlib import Path

import PIL.Image
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

import assistant.models.pocket.vision_encoder  # noqa: F401 - registers the vision encoder with transformers
from training.answering import TransformersEngine, merge_adapter


def test_the_adapter_is_added_to_the_decoder(pocket: Path, adapter_shape: tuple[int, float]) -> None:
    model = AutoModelForImageTextToText.from_pretrained(pocket, dtype=torch.float32)
    projection = model.model.language_model.layers[0].mlp.up_proj
    before = projection.weight.detach().clone()
    merge_adapter(model.model.language_model, pocket / "picture_adapter.safetensors")
    adapter = load_file(pocket / "picture_adapter.safetensors")
    rank, alpha = adapter_shape
    a, b = (adapter[f"layers.0.mlp.up_proj.lora_{side}"].float() for side in "AB")
    assert torch.allclose(projection.weight - before, alpha / rank * b @ a, atol=1e-5)


def test_answers_in_a_batch_equal_single_answers(pocket: Path, images: list[PIL.Image.Image]) -> None:
    engine = TransformersEngine.load(pocket, torch.float32)
    questions = ["What is this?", "Describe the photo.", "Is there a dog in the picture?"]
    batched = engine.answer([image for image in images for _ in questions], questions * 3, 6)
    single = [answer_alone(engine, image, question) for image in images for question in questions]
    assert batched == single
    assert len(set(batched)) > 1


def answer_alone(engine: TransformersEngine, image: PIL.Image.Image, question: str) -> str:
    """Answer one question with the processor and `generate` of transformers."""
    content = [{"type": "image"}, {"type": "text", "text": question}]
    prompt = engine.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    inputs = engine.processor(text=prompt, images=[image], return_tensors="pt")
    output = engine.model.generate(**inputs, max_new_tokens=6, do_sample=False)
    answer: str = engine.processor.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return answer.strip()
