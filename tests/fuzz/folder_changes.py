"""Damage the files of a model folder: JSON with odd values, and safetensors with odd headers."""

import json
import random
import struct

from tests.fuzz.harness import mutate_bytes, odd_json, odd_text

ODD_NUMBERS = (0, -1, 1, 3, 7, 2**16, 10**6, 2**31, 2**63, 10**30, 0.5, -0.5, 1e300)


def odd_value(rng: random.Random) -> object:
    return rng.choice(ODD_NUMBERS) if rng.random() < 0.5 else odd_json(rng, ("model_type", "size", "content"), 2)


def change_json(rng: random.Random, data: bytes) -> bytes:
    """Replace, remove or add values anywhere in a JSON file."""
    root = json.loads(data)
    for _ in range(rng.randint(1, 3)):
        place = root
        while True:
            inner = [
                each
                for each in (place.values() if isinstance(place, dict) else place)
                if each and isinstance(each, dict | list)
            ]
            if not inner or rng.random() < 0.4:
                break
            place = rng.choice(inner)
        if isinstance(place, dict):
            names = [*place, odd_text(rng, 1)]
            name = rng.choice(names)
            if rng.random() < 0.2:
                place.pop(name, None)
            else:
                place[name] = odd_value(rng)
        elif isinstance(place, list):
            place[rng.randrange(len(place) + 1) :][:1] = [odd_value(rng)]
            place.insert(rng.randrange(len(place) + 1), odd_value(rng))
    return json.dumps(root).encode(errors="replace")


def change_weights(rng: random.Random, data: bytes) -> bytes:
    """Damage the header or the tensors of a safetensors file."""
    size = struct.unpack("<Q", data[:8])[0]
    if rng.random() < 0.3:
        return mutate_bytes(rng, data[: 8 + size]) + data[8 + size :]
    if rng.random() < 0.2:
        return struct.pack("<Q", rng.choice((0, 2**20, 10 * 2**30, 2**63))) + data[8:]
    if rng.random() < 0.3:
        kept = rng.randrange(len(data))
        return data[:kept]
    header = change_json(rng, data[8 : 8 + size])
    return struct.pack("<Q", len(header)) + header + data[8 + size :]
