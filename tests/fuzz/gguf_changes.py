"""Make GGUF files with wrong, hostile and missing parts."""

import random
import struct
from contextlib import suppress
from dataclasses import replace

from tests.fakes.gguf_parts import ARRAY, SCALARS, STRING, Entry, GgufParts, elements_of, pack_string, take_apart
from tests.fuzz.harness import mutate_bytes, odd_text

_EXTREMES = (0, 1, 2, 3, 7, 31, 2**15, 2**16 - 1, 10**6, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1)
_FLOATS = (0.0, -1.0, 1e-45, 1e38, -1e38, float("inf"), float("nan"), 0.5)
ARCHITECTURES = (
    *("llama", "qwen2", "qwen3", "qwen2moe", "gemma", "gemma2", "gemma3", "phi2", "phi3", "falcon", "bloom", "gpt2"),
    *("mpt", "starcoder", "bert", "t5", "mamba", "mamba2", "rwkv6", "rwkv7", "clip", "deepseek2", "command-r", "jamba"),
    *("granite", "minicpm", "olmo", "gptneox", "dbrx", "grok", "wavtokenizer-dec", "unknown", ""),
)
TOKENIZERS = ("gpt2", "llama", "bert", "t5", "rwkv", "plamo2", "none", "no_vocab", "odd", "")
KEYS = (
    *("llama.rope.scaling.type", "llama.rope.scaling.factor", "llama.rope.freq_base", "llama.expert_count"),
    *("llama.expert_used_count", "llama.attention.sliding_window", "llama.attention.key_length", "llama.vocab_size"),
    *("llama.attention.value_length", "llama.attention.head_count", "llama.attention.head_count_kv"),
    *("llama.block_count", "llama.embedding_length", "llama.feed_forward_length", "llama.rope.dimension_count"),
    *("llama.attention.layer_norm_rms_epsilon", "llama.context_length", "llama.attention.causal"),
    *("llama.pooling_type", "llama.leading_dense_block_count", "llama.rope.dimension_sections"),
    *("tokenizer.ggml.scores", "tokenizer.ggml.token_type", "tokenizer.ggml.tokens", "tokenizer.ggml.merges"),
    *(
        "tokenizer.ggml.pre",
        "tokenizer.ggml.eos_token_id",
        "tokenizer.ggml.bos_token_id",
        "tokenizer.ggml.eot_token_id",
    ),
    *("tokenizer.ggml.padding_token_id", "tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_space_prefix"),
    *("tokenizer.ggml.precompiled_charsmap", "tokenizer.ggml.token_type_count", "tokenizer.ggml.suppress_tokens"),
    *("general.alignment", "general.file_type", "general.name", "general.quantization_version", "general.type"),
    *("general.sampling.temp", "general.sampling.top_k", "general.sampling.top_p", "general.sampling.penalty_repeat"),
    *("general.sampling.mirostat", "general.sampling.xtc_probability", "split.count", "split.no", "adapter.type"),
    *("tokenizer.chat_template", "tokenizer.chat_template.tool_use", "tokenizer.chat_templates"),
)
TEMPLATES = (
    *(
        "{{ messages }}",
        "{{ 'a' * 99999 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ x.y.z }}",
        "{{ raise_exception('no') }}",
        "{% if %}",
    ),
    *("{% for i in range(99999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}", "{{ 1 / 0 }}", "", " ", "\x00"),
    *("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{{ messages[99].content }}", "{{ bos_token * 10 ** 6 }}"),
)


def make_file(whole: bytes, rng: random.Random) -> bytes:
    """Return a file with one to three changes."""
    parts = take_apart(whole)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        # What an earlier change has damaged may not come apart any more.
        with suppress(struct.error):
            rng.choice(_CHANGES)(rng, parts)
    data = parts.pack()
    kind = rng.random()
    if kind < 0.1:
        return mutate_bytes(rng, data)
    if kind < 0.2:
        head = len(data) - len(parts.weights)
        return mutate_bytes(rng, data[:head]) + data[head:]
    return data[: rng.randrange(len(data))] if kind < 0.25 else data


def _change_value(rng: random.Random, parts: GgufParts) -> None:
    index = rng.randrange(len(parts.entries))
    entry = parts.entries[index]
    parts.entries[index] = replace(entry, data=_odd_value(rng, entry.kind, entry.data))


def _change_type(rng: random.Random, parts: GgufParts) -> None:
    index = rng.randrange(len(parts.entries))
    entry = parts.entries[index]
    kind = rng.choice((*SCALARS, STRING, ARRAY, 13, 2**31))
    parts.entries[index] = replace(entry, kind=kind, data=rng.choice((entry.data, _odd_value(rng, kind, b""))))


def _drop_entry(rng: random.Random, parts: GgufParts) -> None:
    del parts.entries[rng.randrange(len(parts.entries))]


def _repeat_or_rename_entry(rng: random.Random, parts: GgufParts) -> None:
    index = rng.randrange(len(parts.entries))
    key = (
        parts.entries[index].key
        if rng.random() < 0.3
        else rng.choice((*KEYS, odd_text(rng, 1))).encode(errors="replace")
    )
    parts.entries.insert(rng.randrange(index + 1), replace(parts.entries[index], key=key))


def _add_entry(rng: random.Random, parts: GgufParts) -> None:
    kind = rng.choice((*SCALARS, STRING, ARRAY))
    key = rng.choice(KEYS).encode()
    parts.entries = [each for each in parts.entries if each.key != key]
    parts.entries.append(Entry(key, kind, _odd_value(rng, kind, b"")))


def _change_architecture(rng: random.Random, parts: GgufParts) -> None:
    name = rng.choice(ARCHITECTURES).encode()
    renamed = [replace(each, key=each.key.replace(b"llama.", name + b".")) for each in parts.entries]
    parts.entries = [
        replace(each, data=pack_string(name)) if each.key == b"general.architecture" else each for each in renamed
    ]


def _change_tokenizer(rng: random.Random, parts: GgufParts) -> None:
    key = rng.choice((b"tokenizer.ggml.model", b"tokenizer.ggml.model", b"tokenizer.ggml.pre"))
    value = pack_string(rng.choice((*TOKENIZERS, "llama3", "qwen2", "tekken")).encode())
    parts.entries = [replace(each, data=value) if each.key == key else each for each in parts.entries]


def _change_array(rng: random.Random, parts: GgufParts) -> None:
    """Shorten, empty or change one of the arrays of the vocabulary, which belong together."""
    arrays = [index for index, each in enumerate(parts.entries) if each.kind == ARRAY]
    if not arrays:
        return
    index = rng.choice(arrays)
    kind, count = struct.unpack_from("<IQ", parts.entries[index].data)
    elements = elements_of(parts.entries[index].data[12:], kind, count)
    for _ in range(rng.choice((0, 1, 1, 5))):
        if elements:
            elements[rng.randrange(len(elements))] = _odd_value(rng, kind, b"")
    if rng.random() < 0.5:
        elements = elements[: rng.choice((0, 1, len(elements) // 2, max(len(elements) - 1, 0)))]
    data = struct.pack("<IQ", kind, len(elements)) + b"".join(elements)
    parts.entries[index] = replace(parts.entries[index], data=data)


def _change_tensor(rng: random.Random, parts: GgufParts) -> None:
    if not parts.tensors:
        return
    index = rng.randrange(len(parts.tensors))
    tensor = parts.tensors[index]
    match rng.randrange(6):
        case 0:
            shape = tuple(rng.choice((side, side, *_EXTREMES)) for side in tensor.shape)
            parts.tensors[index] = replace(tensor, shape=shape)
        case 1:
            parts.tensors[index] = replace(tensor, kind=rng.choice((*range(42), 2**31)))
        case 2:
            parts.tensors[index] = replace(tensor, offset=rng.choice((*_EXTREMES, tensor.offset + 32)))
        case 3:
            name = rng.choice((b"", b"x" * 64, b"x" * 5000, rng.choice(parts.tensors).name, b"\xff\x00"))
            parts.tensors[index] = replace(tensor, name=name)
        case 4:
            del parts.tensors[index]
        case _:
            shape = tensor.shape[: rng.randint(0, 2)] + (1,) * rng.choice((0, 1, 2, 3, 200))
            parts.tensors[index] = replace(tensor, shape=shape)


def _change_counts(rng: random.Random, parts: GgufParts) -> None:
    match rng.randrange(3):
        case 0:
            parts.entry_count = rng.choice((*_EXTREMES, len(parts.entries) + 1, max(len(parts.entries) - 1, 0)))
        case 1:
            parts.tensor_count = rng.choice((*_EXTREMES, len(parts.tensors) + 1, max(len(parts.tensors) - 1, 0)))
        case _:
            parts.version = rng.choice((0, 1, 2, 4, 2**24 * 3, 2**32 - 1))


def _change_template(rng: random.Random, parts: GgufParts) -> None:
    template = rng.choice((*TEMPLATES, odd_text(rng), "{{ messages[0].content }}" + odd_text(rng, 2)))
    data = pack_string(template.encode(errors="surrogatepass"))
    parts.entries = [
        replace(each, data=data) if each.key == b"tokenizer.chat_template" else each for each in parts.entries
    ]


def _change_weights(rng: random.Random, parts: GgufParts) -> None:
    if rng.random() < 0.3:
        parts.weights = parts.weights[: rng.randrange(len(parts.weights) + 1)]
        return
    at = rng.randrange(len(parts.weights) // 4 + 1) * 4
    filler = rng.choice((struct.pack("<f", rng.choice(_FLOATS)), rng.randbytes(4)))
    length = rng.choice((1, 100, 5000))
    parts.weights = (parts.weights[:at] + filler * length)[: len(parts.weights)] + parts.weights[at + 4 * length :]


_CHANGES = (
    *(_change_value, _change_value, _change_value, _change_type, _drop_entry, _repeat_or_rename_entry, _add_entry),
    *(
        _add_entry,
        _change_architecture,
        _change_tokenizer,
        _change_array,
        _change_array,
        _change_tensor,
        _change_tensor,
    ),
    *(_change_counts, _change_template, _change_weights),
)


def _odd_value(rng: random.Random, kind: int, data: bytes) -> bytes:
    """Return bytes of an odd value of a type; `data` are those of the present one."""
    if kind in SCALARS:
        letter = SCALARS[kind]
        if letter in "fd":
            return struct.pack(f"<{letter}", rng.choice(_FLOATS))
        width = struct.calcsize(letter)
        return (rng.choice(_EXTREMES) % (1 << 8 * width)).to_bytes(width, "little")
    if kind == STRING:
        text = rng.choice((odd_text(rng), odd_text(rng, 1), *TOKENIZERS, "a" * 70_000)).encode(errors="surrogatepass")
        return rng.choice((pack_string(text), pack_string(text), struct.pack("<Q", rng.choice(_EXTREMES)) + text))
    if kind != ARRAY:
        return data
    if data and rng.random() < 0.3:
        return struct.pack("<IQ", rng.choice((*SCALARS, STRING, ARRAY, 99)), rng.choice(_EXTREMES)) + data[12:]
    element = rng.choice((*SCALARS, STRING))
    values = [_odd_value(rng, element, b"") for _ in range(rng.choice((0, 1, 2, 10, 300)))]
    return struct.pack("<IQ", element, len(values)) + b"".join(values)
