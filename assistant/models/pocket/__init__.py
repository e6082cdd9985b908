"""The bundled model: SmolLM2 behind EfficientNet-Lite, joined by a connector trained in `training/`.

Importing this package registers its vision encoder with transformers' Auto classes, so that an assembled folder loads
like any other model. Reading order: `assemble` (the model's files), `vision_encoder`, `efficientnet`.
"""

from transformers import AutoConfig, AutoModel

from assistant.models.pocket.vision_encoder import PocketVisionConfig, PocketVisionEncoder

AutoConfig.register(PocketVisionConfig.model_type, PocketVisionConfig)
AutoModel.register(PocketVisionConfig, PocketVisionEncoder)
