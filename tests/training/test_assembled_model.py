"""The assembled folder is an ordinary transformers model that equals what was trained."""

import json
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

import assistant.models.pocket.vision_encoder  # noqa: F401 - registers the vision encoder with transformers
from assistant.models.pocket import assemble, vision_weights
from assistant.progress import no_progress
from assistant.wheels import fetch
from training.answering import TransformersEngine
from training.decoder import Decoder
from training.features import preprocess
from training.packed_sequences import SequencePacker, collate
from training.questions import Exchange
from training.vision_encoder import TrainedVisionEncoder

CONVERSATIONS: list[list[dict[str, str]]] = [
    [{"role": "user", "content": "Hi"}],
    [{"role": "system", "content": "Be  brief.\n"}, {"role": "user", "content": " Hi\n\nthere & <b> "}],
    [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes.\n"},
        {"role": "user", "content": "And?"},
    ],
]


@pytest.fixture(scope="module")
def loaded(pocket: Path) -> tuple[Any, dict[str, Any]]:
    """The model of the folder, and transformers' report on loading it."""
    found: Any = AutoModelForImageTextToText.from_pretrained(pocket, dtype=torch.float32, output_loading_info=True)
    model, report = found
    return model.eval(), report


@pytest.fixture(scope="module")
def processor(pocket: Path) -> Any:
    return AutoProcessor.from_pretrained(pocket)


@pytest.fixture(scope="module")
def tokenizer(decoder_folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(decoder_folder / "tokenizer.json"))


def test_no_weight_is_missing_or_unknown(loaded: tuple[Any, dict[str, Any]]) -> None:
    _, report = loaded
    assert {name: list(found) for name, found in report.items() if found} == {}


def test_no_file_names_a_path_of_the_machine(pocket: Path, decoder_file: Path) -> None:
    for file in pocket.glob("*.json"):
        assert str(decoder_file.parent) not in file.read_text()


@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize("generation_prompt", [True, False])
@pytest.mark.parametrize("in_parts", [True, False])
def test_a_conversation_without_images_has_the_prompt_of_the_decoder(
    processor: Any, decoder_folder: Path, conversation: list[dict[str, str]], generation_prompt: bool, in_parts: bool
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(decoder_folder)
    expected = tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=generation_prompt)
    messages: Any = conversation
    if in_parts:
        messages = [{**message, "content": [{"type": "text", "text": message["content"]}]} for message in conversation]
    prompt = processor.apply_chat_template(messages, add_generation_prompt=generation_prompt)
    assert prompt == expected
    assert processor(text=prompt)["input_ids"][0] == tokenizer(expected)["input_ids"]


def test_without_images_the_logits_are_those_of_the_decoder(
    loaded: tuple[Any, dict[str, Any]], processor: Any, decoder_folder: Path
) -> None:
    decoder = AutoModelForCausalLM.from_pretrained(decoder_folder, dtype=torch.float32).eval()
    prompt = processor(text=processor.apply_chat_template(CONVERSATIONS[2]), return_tensors="pt")
    with torch.inference_mode():
        assert torch.equal(loaded[0](**prompt).logits, decoder(**prompt).logits)


def test_images_are_preprocessed_as_in_training(processor: Any, image: PIL.Image.Image) -> None:
    pixels = processor.image_processor(image, return_tensors="pt")["pixel_values"][0]
    assert torch.allclose(pixels, preprocess(image, pixels.shape[-1]), atol=1e-5)


@pytest.mark.parametrize("question", ["What is this?", "2 dogs?", "how many chairs, 3 or 4?", "Is\nit a dog?"])
def test_a_conversation_about_an_image_has_the_tokens_of_training(
    loaded: tuple[Any, dict[str, Any]], processor: Any, tokenizer: Tokenizer, image: PIL.Image.Image, question: str
) -> None:
    messages = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]},
        {"role": "assistant", "content": [{"type": "text", "text": "A dog."}]},
        {"role": "user", "content": [{"type": "text", "text": "What is it doing?"}]},
    ]
    prompt = processor.apply_chat_template(messages, add_generation_prompt=True)
    ids = processor(text=prompt, images=[image], return_tensors="pt")["input_ids"][0].tolist()
    packer = SequencePacker(tokenizer, loaded[0].config.vision_config.num_tokens, 400)
    follow_up = Exchange("What is it doing?", ["Running."], "doing")
    sequence = packer.pack([Exchange(question, ["A dog."], "name", [follow_up])])
    trained = [token for segment in sequence.segments for token in segment.tokens]
    answer = [*packer.encode("Running."), *packer.end_of_turn]
    image_id = loaded[0].config.image_token_id
    assert [*ids, *answer] == [image_id if token < 0 else token for token in trained]


def test_the_vision_encoder_equals_the_trained_one(
    loaded: tuple[Any, dict[str, Any]], weights: Path, tokenizer: Tokenizer, image: PIL.Image.Image
) -> None:
    encoder = loaded[0].model.vision_tower
    names = json.loads((weights / "names.json").read_text())
    embedding = loaded[0].get_input_embeddings().weight.detach()
    trained = TrainedVisionEncoder(encoder.config, names["classes"] + names["words"], tokenizer, embedding)
    exported = load_file(weights / "eyes.safetensors")
    trained.load_state_dict({name: exported[name].float() for name in trained.trained_state()}, strict=False)
    pixels = preprocess(image, encoder.config.image_size)[None]
    with torch.inference_mode():
        features = encoder.tower.features(encoder.tower.neck(pixels))
        classes, words = encoder.tower.class_logits(features).softmax(-1), encoder.word_head(features).sigmoid()
        expected = trained(features, classes, words, torch.ones(1), torch.ones(1))
        assert torch.allclose(encoder(pixels).last_hidden_state, expected, atol=1e-5)


def test_logits_about_an_image_are_those_of_the_trained_decoder(
    pocket: Path, decoder_folder: Path, tokenizer: Tokenizer, adapter_shape: tuple[int, float], image: PIL.Image.Image
) -> None:
    engine = TransformersEngine.load(pocket, torch.float32)
    decoder = Decoder(decoder_folder, *adapter_shape, torch.float32)
    for name, value in load_file(pocket / "picture_adapter.safetensors").items():
        decoder.get_parameter(name.replace("self_attn.", "").replace("mlp.", "")).data = value.float()
    packer = SequencePacker(tokenizer, engine.model.config.vision_config.num_tokens, 60)
    sequence = packer.pack([Exchange("What is this?", ["A dog."], "name")])
    batch = collate([sequence], sequence.length, torch.float32)
    pixels = engine.processor.image_processor(image, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        image_tokens = engine.model.model.vision_tower(pixels).last_hidden_state
        embeddings = torch.nn.functional.embedding(batch.tokens, decoder.embedding)
        embeddings = embeddings.masked_scatter(batch.image_mask[..., None], image_tokens)
        expected = decoder.logits(decoder(embeddings, batch.positions, batch.mask))
        ids = batch.tokens.masked_fill(batch.image_mask, engine.model.config.image_token_id)
        logits = engine.model(input_ids=ids, pixel_values=pixels).logits
    assert torch.allclose(logits, expected, atol=1e-3)


@pytest.mark.slow
def test_the_published_decoder_is_unchanged_without_images(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Assembled with the published decoder: the same prompts, and the same logits."""
    cache = tmp_path_factory.mktemp("cache")
    file = fetch(vision_weights.DECODER, cache, no_progress)
    decoder, tokenizer = assemble.read_decoder(file)
    processor = AutoProcessor.from_pretrained(vision_weights.ensure(cache, no_progress))
    model = AutoModelForImageTextToText.from_pretrained(vision_weights.ensure(cache, no_progress), dtype=torch.float32)
    for conversation in CONVERSATIONS:
        prompt = processor.apply_chat_template(conversation, add_generation_prompt=True)
        assert prompt == tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
        ids = processor(text=prompt, return_tensors="pt")
        with torch.inference_mode():
            assert torch.equal(model(**ids).logits, decoder(**ids).logits)
