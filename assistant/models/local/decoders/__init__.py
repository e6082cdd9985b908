"""Model families behind one protocol: read `protocol`, then `llava` and `transformers`; both use `prompts`."""
