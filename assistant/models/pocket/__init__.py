"""The bundled chat model: a language model that reads in words what a small vision model has seen.

The small vision model is SmolLM2 behind EfficientNet-Lite, joined by a connector trained in `training/`. Importing
`vision_encoder` registers it with transformers' Auto classes, so that an assembled folder loads like any other model;
nothing else here does, because transformers takes seconds to import.

Reading order: `model` (the chat model), `prompt`, `described_images`, `describe`, then the small model's files and
network: `vision_weights`, `assemble`, `vision_encoder`, `efficientnet`, `recognizer`; and `language_weights`.
"""
