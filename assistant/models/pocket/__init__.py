"""The bundled model: SmolLM2 behind EfficientNet-Lite, joined by a connector trained in `training/`.

Importing this package makes transformers' Auto classes know its eyes, so that an assembled folder loads like any
other model's.
"""

from transformers import AutoConfig, AutoModel

from assistant.models.pocket.vision_encoder import PocketVisionConfig, PocketVisionEncoder

AutoConfig.register(PocketVisionConfig.model_type, PocketVisionConfig)
AutoModel.register(PocketVisionConfig, PocketVisionEncoder)
