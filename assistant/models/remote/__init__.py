"""Models on OpenAI-compatible servers.

Reading order: `model`; `openai_api` and `dialect` (requests); `streamed_reply`, `chunks` and `json_values` (replies);
`http_client`, `http_errors` and `retries`.
"""
