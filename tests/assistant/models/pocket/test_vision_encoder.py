"""The vision encoder's configuration reads the config.json of models that are in people's caches."""

from assistant.models.pocket.vision_encoder import PocketVisionConfig


def test_the_saved_names_are_those_of_assembled_models() -> None:
    saved = PocketVisionConfig(pictured_turns=2, grid=3).to_dict()
    assert saved["model_type"] == "parley_pocket_eyes"
    assert saved["pictured_turns"] == 2
    assert "max_image_turns" not in saved
    restored = PocketVisionConfig.from_dict(saved)
    assert restored.max_image_turns == 2
    assert restored.num_tokens == 3**2 + restored.class_slots + restored.word_slots
