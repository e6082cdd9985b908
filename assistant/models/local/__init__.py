"""The inference engine for models on this machine: read `model` first, then `decoders` and `llama`."""
