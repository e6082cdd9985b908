"""The assembled folder is an ordinary model that sees what training saw and reads what the decoder reads."""

import json
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

import assistant.models.pocket  # noqa: F401 - makes transformers know the eyes
from assistant.models.pocket import assemble
from assistant.progress import no_progress
from assistant.wheel_assets import fetch
from training.answering import PlainModel, merge_adapter
from training.connector import Eyes
from training.decoder import Decoder
from training.features import pixels
from training.packed_sequences import RowBuilder, collate
from training.questions import Exchange
from training.recipe import Recipe
from training.words import Vocabulary

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
    """The model of the folder, and what transformers says about the loading."""
    found: Any = AutoModelForImageTextToText.from_pretrained(pocket, dtype=torch.float32, output_loading_info=True)
    model, report = found
    return model.eval(), report


@pytest.fixture(scope="module")
def processor(pocket: Path) -> Any:
    return AutoProcessor.from_pretrained(pocket)


def test_it_loads_whole(loaded: tuple[Any, dict[str, Any]]) -> None:
    _, report = loaded
    assert {name: list(found) for name, found in report.items() if found} == {}


def test_it_tells_nothing_of_the_machine_it_was_made_on(pocket: Path, decoder_file: Path) -> None:
    for file in pocket.glob("*.json"):
        assert str(decoder_file.parent) not in file.read_text()


@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize("to_answer", [True, False])
@pytest.mark.parametrize("in_parts", [True, False])
def test_a_conversation_without_pictures_reads_as_the_decoder_expects(
    processor: Any, decoder_folder: Path, conversation: list[dict[str, str]], to_answer: bool, in_parts: bool
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(decoder_folder)
    expected = tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=to_answer)
    given: Any = conversation
    if in_parts:
        given = [{**said, "content": [{"type": "text", "text": said["content"]}]} for said in conversation]
    prompt = processor.apply_chat_template(given, add_generation_prompt=to_answer)
    assert prompt == expected
    assert processor(text=prompt)["input_ids"][0] == tokenizer(expected)["input_ids"]


def test_without_pictures_it_is_the_decoder(
    loaded: tuple[Any, dict[str, Any]], processor: Any, decoder_folder: Path
) -> None:
    decoder = AutoModelForCausalLM.from_pretrained(decoder_folder, dtype=torch.float32).eval()
    prompt = processor(text=processor.apply_chat_template(CONVERSATIONS[2]), return_tensors="pt")
    with torch.inference_mode():
        assert torch.equal(loaded[0](**prompt).logits, decoder(**prompt).logits)


def test_pictures_are_normalised_as_for_training(processor: Any, photo: PIL.Image.Image) -> None:
    seen = processor.image_processor(photo, return_tensors="pt")["pixel_values"][0]
    assert torch.allclose(seen, pixels(photo, seen.shape[-1]), atol=1e-5)


@pytest.mark.parametrize("question", ["What is this?", "2 dogs?", "how many chairs, 3 or 4?", "Is\nit a dog?"])
def test_a_question_about_a_picture_reads_as_in_training(
    loaded: tuple[Any, dict[str, Any]], processor: Any, decoder_folder: Path, photo: PIL.Image.Image, question: str
) -> None:
    said = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]},
        {"role": "assistant", "content": [{"type": "text", "text": "A dog."}]},
        {"role": "user", "content": [{"type": "text", "text": "What is it doing?"}]},
    ]
    prompt = processor.apply_chat_template(said, add_generation_prompt=True)
    ids = processor(text=prompt, images=[photo], return_tensors="pt")["input_ids"][0].tolist()
    builder = RowBuilder(
        Tokenizer.from_file(str(decoder_folder / "tokenizer.json")), loaded[0].config.vision_config.num_tokens, 400
    )
    then = Exchange("What is it doing?", ["Running."], "doing")
    row = builder.build([Exchange(question, ["A dog."], "name", [then])])
    learned = [token for segment in row.segments for token in segment.tokens]
    answer = [*builder.encode("Running."), *builder.stop]
    image = loaded[0].config.image_token_id
    assert [*ids, *answer] == [image if token < 0 else token for token in learned]


def test_the_eyes_see_what_training_saw(
    loaded: tuple[Any, dict[str, Any]], weights: Path, decoder_folder: Path, photo: PIL.Image.Image
) -> None:
    eyes = loaded[0].model.vision_tower
    known = json.loads((weights / "names.json").read_text())
    recipe = Recipe(grid=eyes.config.grid)
    embedding = loaded[0].get_input_embeddings().weight.detach()
    tokenizer = Tokenizer.from_file(str(decoder_folder / "tokenizer.json"))
    lesson = lesson_eyes(recipe, eyes.config, known, tokenizer, embedding)
    trained = load_file(weights / "eyes.safetensors")
    lesson.load_state_dict({name: trained[name].float() for name in lesson.trained_state()}, strict=False)
    picture = pixels(photo, eyes.config.image_size)[None]
    with torch.inference_mode():
        features = eyes.tower.features(eyes.tower.neck(picture))
        classes, words = eyes.tower.class_logits(features).softmax(-1), eyes.word_head(features).sigmoid()
        expected = lesson(features, classes, words, torch.ones(1), torch.ones(1))
        assert torch.allclose(eyes(picture).last_hidden_state, expected, atol=1e-5)


def lesson_eyes(recipe: Recipe, config: Any, known: Any, tokenizer: Tokenizer, embedding: torch.Tensor) -> Eyes:
    """Training's eyes in the shape of `config`."""
    with pytest.MonkeyPatch.context() as patch:
        # Training has no option for sizes that only a test wants.
        patch.setattr(Recipe, "eyes", lambda *_: config)
        return Eyes(recipe, Vocabulary(known["words"], 0), known["classes"], tokenizer, embedding)


def test_answers_follow_the_decoder_that_was_trained(
    pocket: Path, decoder_folder: Path, adapter_shape: tuple[int, float], photo: PIL.Image.Image
) -> None:
    """The adapter, merged, gives the logits of training's own decoder with the same adapter."""
    model = PlainModel.load(pocket, torch.float32)
    learner = Decoder(decoder_folder, *adapter_shape, torch.float32)
    for name, value in load_file(pocket / "picture_adapter.safetensors").items():
        learner.get_parameter(name.replace("self_attn.", "").replace("mlp.", "")).data = value.float()
    tokens = model.model.config.vision_config.num_tokens
    builder = RowBuilder(Tokenizer.from_file(str(decoder_folder / "tokenizer.json")), tokens, 60)
    row = builder.build([Exchange("What is this?", ["A dog."], "name")])
    batch = collate([row], row.length, torch.float32)
    picture = model.processor.image_processor(photo, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        seen = model.model.model.vision_tower(picture).last_hidden_state
        embeddings = torch.nn.functional.embedding(batch.tokens, learner.embedding)
        embeddings = embeddings.masked_scatter(batch.pictures[..., None], seen)
        expected = learner.logits(learner(embeddings, batch.positions, batch.mask))
        ids = batch.tokens.masked_fill(batch.pictures, model.model.config.image_token_id)
        logits = model.model(input_ids=ids, pixel_values=picture).logits
    assert torch.allclose(logits, expected, atol=1e-3)


def test_the_adapter_is_added_to_the_decoder(pocket: Path, adapter_shape: tuple[int, float]) -> None:
    plain = AutoModelForImageTextToText.from_pretrained(pocket, dtype=torch.float32)
    before = plain.model.language_model.layers[0].mlp.up_proj.weight.detach().clone()
    merge_adapter(plain.model.language_model, pocket / "picture_adapter.safetensors")
    adapter = load_file(pocket / "picture_adapter.safetensors")
    rank, alpha = adapter_shape
    low, high = (adapter[f"layers.0.mlp.up_proj.lora_{side}"].float() for side in "AB")
    after = plain.model.language_model.layers[0].mlp.up_proj.weight
    assert torch.allclose(after - before, alpha / rank * high @ low, atol=1e-5)


def test_many_questions_at_once_are_answered_like_each_alone(pocket: Path, photos: list[PIL.Image.Image]) -> None:
    model = PlainModel.load(pocket, torch.float32)
    questions = ["What is this?", "Describe the photo.", "Is there a dog in the picture?"]
    together = model.answer([photo for photo in photos for _ in questions], questions * 3, 6)
    alone = []
    for photo in photos:
        for question in questions:
            content = [{"type": "image"}, {"type": "text", "text": question}]
            prompt = model.processor.apply_chat_template(
                [{"role": "user", "content": content}], add_generation_prompt=True
            )
            given = model.processor(text=prompt, images=[photo], return_tensors="pt")
            said = model.model.generate(**given, max_new_tokens=6, do_sample=False)
            alone.append(
                model.processor.decode(said[0, given["input_ids"].shape[1] :], skip_special_tokens=True).strip()
            )
    assert together == alone
    assert len(set(together)) > 1


@pytest.mark.slow
def test_the_real_decoder_keeps_its_voice(tmp_path_factory: pytest.TempPathFactory) -> None:
    """With the published decoder: same prompts, and the same logits without pictures."""
    cache = tmp_path_factory.mktemp("cache")
    file = fetch(assemble.DECODER, cache, no_progress)
    decoder, tokenizer = assemble.read_decoder(file)
    processor = AutoProcessor.from_pretrained(assemble.ensure(cache, no_progress))
    model = AutoModelForImageTextToText.from_pretrained(assemble.ensure(cache, no_progress), dtype=torch.float32)
    for conversation in CONVERSATIONS:
        prompt = processor.apply_chat_template(conversation, add_generation_prompt=True)
        assert prompt == tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
        ids = processor(text=prompt, return_tensors="pt")
        with torch.inference_mode():
            assert torch.equal(model(**ids).logits, decoder(**ids).logits)
