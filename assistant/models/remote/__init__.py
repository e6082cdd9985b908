"""Models on OpenAI-compatible servers: read `model`, then `openai_api`, `http_client` and `retries`."""
