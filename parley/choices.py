"""Tell which model, voice and recognizer Parley will use with given settings, and why. Loads none of them."""

from typing import TYPE_CHECKING, Any

from assistant.formatting import format_bytes
from parley.factory.bundled import BUNDLED_MODELS, POCKET, POCKET_FREE_BYTES, POCKET_SMALL, choose_bundled
from parley.factory.models import best_catalog_entry, is_remote

if TYPE_CHECKING:
    from pathlib import Path

    from assistant.settings import Settings


def choices(settings: "Settings") -> dict[str, Any]:
    """Return what will be used, by the names that `parley doctor --json` gives it.

    Raises:
        ConfigError: The settings contradict each other or this machine.
    """
    return {**_model(settings), **_voice(settings), **_recognizer(settings)}


def _model(settings: "Settings") -> dict[str, Any]:
    if is_remote(settings):
        name = "the server's" if settings.model == "auto" else settings.model
        return {"model": name, "server": True, "device": "", "quantization": "", "why": "a server is set"}
    if settings.model == "auto":
        return _automatic_model(settings)
    why = f"chosen by {settings.origins.get('model', 'the settings')}"
    if settings.model in BUNDLED_MODELS:
        return _bundled(settings.model, settings, why)
    if settings.model.partition(":")[0] == "scripted" or settings.model.lower().endswith(".gguf"):
        return {"model": settings.model, "device": "cpu", "quantization": "", "why": why}
    return {"model": settings.model, **_placed(settings), "why": why, "downloaded": _is_on_disk(settings.model)}


def _automatic_model(settings: "Settings") -> dict[str, Any]:
    entry = best_catalog_entry(settings)
    if entry is not None:
        why = "the largest model of the catalogue that fits the free memory of the GPU"
        return {"model": entry.name, **_placed(settings), "why": why, "downloaded": _is_on_disk(entry.name)}
    name = choose_bundled()
    from assistant.models.memory import free_bytes

    comparison = "at least" if name == POCKET else "less than"
    why = (
        f"no model of the catalogue runs on a GPU here, and {format_bytes(free_bytes('cpu'))} of memory are free, "
        f"{comparison} {format_bytes(POCKET_FREE_BYTES)}"
    )
    return _bundled(name, settings, why)


def _bundled(name: str, settings: "Settings", why: str) -> dict[str, Any]:
    cache = settings.cache_dir / "models"
    downloaded = any(folder.is_dir() for folder in cache.glob("pocket-*"))
    if name == POCKET:
        from assistant.models.pocket import language_weights

        file = language_weights.folder(settings.cache_dir) / language_weights.QWEN_1_5B.name
        downloaded = downloaded and file.is_file()
    quantization = "int8" if name == POCKET_SMALL else "q4_k_m"
    return {"model": name, "device": "cpu", "quantization": quantization, "why": why, "downloaded": downloaded}


def _placed(settings: "Settings") -> dict[str, str]:
    from assistant.models.quantization import choose_quantization
    from parley.factory.models import needs_no_gpu

    if needs_no_gpu(settings):
        return {"device": "cpu", "quantization": choose_quantization("cpu", settings.quantize)}
    from assistant.models.local.placement import choose_device

    placement = choose_device(settings.device, settings.quantize)
    return {"device": placement.device, "quantization": placement.quantization}


def _is_on_disk(name: str) -> bool:
    from assistant.models import catalog, hub
    from assistant.models.names import find_folder

    if find_folder(name) is not None:
        return True
    entry = catalog.find(name)
    repository, revision = (entry.repository, entry.revision) if entry else (name, "main")
    return hub.cached_folder(repository, revision) is not None


def _voice(settings: "Settings") -> dict[str, Any]:
    from voice.tts import coqui, espeak, hibari
    from voice.tts.engine import is_english
    from voice.tts.registry import parse_voice_name

    parsed = parse_voice_name(settings.voice)
    if parsed is not None:
        engine, _ = parsed
        return {
            "voice": settings.voice,
            "voice_installed": engine.is_installed(),
            "voice_why": "chosen by the settings",
        }
    if not is_english(settings):
        why = f"the bundled voice speaks English, and the language is {settings.language}"
        return {"voice": "espeak", "voice_installed": espeak.ENGINE.is_installed(), "voice_why": why}
    if coqui.is_installed() and coqui.is_on_gpu(settings.device):
        return {"voice": "coqui", "voice_installed": True, "voice_why": "Coqui is installed and there is a GPU"}
    installed = hibari.is_installed()
    name = "hibari" if installed else "espeak"
    why = "the bundled voice" if installed else "hibari-tts is not installed"
    return {"voice": name, "voice_installed": installed or espeak.ENGINE.is_installed(), "voice_why": why}


def _recognizer(settings: "Settings") -> dict[str, Any]:
    from parley.factory.voice import BUNDLED_WHISPER_NAMES

    if settings.whisper not in BUNDLED_WHISPER_NAMES:
        return {"recognizer": f"Whisper {settings.whisper}", "recognizer_downloaded": None}
    return {"recognizer": "Whisper base (bundled)", "recognizer_downloaded": _has_whisper(settings.cache_dir)}


def _has_whisper(cache_dir: "Path") -> bool:
    return any(cache_dir.glob("models/whisper-base-*/model.bin"))
