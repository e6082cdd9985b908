"""Model families behind one protocol: read `protocol`, then `llava`, `transformers`, and `prompts`, which both use."""
