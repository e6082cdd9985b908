"""Models on OpenAI-compatible servers: read `model`, then `openai_api`, then `http_client`."""
