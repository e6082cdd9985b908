"""Inference engine for vision-language models in this process.

A turn passes through it like this:

    messages
       │ chat_template     render, with special tokens in user text escaped
       │ image_encoder     preprocess images; expand each placeholder to its image tokens
       ▼
    Prompt (token ids)
       │ prompt_cache      find the prefix that is in the KV cache
       │ engine            prefill the rest in chunks, run by one of the `decoders`
       ▼
    logits
       │ sampling          sample a token; detokenize
       │ prompt_lookup     draft further tokens from earlier text, verify them in one forward pass
       ▼
    chunks of text, then the usage

Reading order: `model` (the public class), `engine` (prefill and decode on token ids), `decoders` (one protocol, two
kinds of decoders), `llama` (the bundled model on onnxruntime). Then as needed:

    loading        loader, checkpoint, placement, building, load_progress, load_errors
    prompts        chat_template, template_limits, image_encoder, image_detail, prompt_cache
    decoding       sampling, prompt_lookup, compiled, batch_generation, batch_decoder, kv_cache
    arithmetic     llama_graph, llama_sessions, onnx_graph, int8, lora, cpu_threads
"""
