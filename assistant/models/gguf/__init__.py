"""Language models in GGUF files, run by llama.cpp in this process.

A turn passes through it like this:

    messages
       │ requests          special tokens in user text escaped
       ▼
    request (OpenAI's chat completions)
       │ sampling          options, with the model's recommendations where they are None
       │ llama_server      llama.cpp: chat template, prompt cache, prefill, decode; chunks come on a thread of its own
       ▼
       │ reply             text, token counts, times
       ▼
    chunks of text, then the usage

Reading order: `model` (the public class), `requests` and `reply`, `sampling`, `llama_server` (alone knows
llama.cpp). Loading: `files`, `metadata` (the header of a file), `template`.
`vocabulary` serves scores only.
"""
