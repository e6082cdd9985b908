"""Models on OpenAI-compatible servers.

Reading order: `model`, `model_list`; `openai_api`, `dialect` and `responses_api` (requests); `streamed_reply`, `chunks`
and `json_values` (replies); `http_client`, `http_errors` and `retries`.
"""
