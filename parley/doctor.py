"""Collect what this machine has, what Parley will use of it, and what is missing: the report of `parley doctor`.

It has to work where everything is broken. So each probe runs on a thread of its own for a few seconds at most, and one
that fails leaves its error in the report. torch is imported only where it may find a GPU.
"""

import os
import platform
import queue
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from assistant import __version__, hardware
from assistant.errors import ParleyError, first_line
from assistant.models.hub import answers
from assistant.settings import Settings

Facts = dict[str, Any]
"""One section of the report. The names are keys of `parley doctor --json`."""

_PROBE_SECONDS = 2.5
# More than this would not all answer in that time.
_MAX_SERVERS = 8
# Names as the index has them, with the module to import and what they are needed for.
_PACKAGES = (
    *(("torch", "torch", "chat"), ("transformers", "transformers", "chat"), ("safetensors", "safetensors", "chat")),
    *(("xllamacpp", "xllamacpp", "chat"), ("onnxruntime", "onnxruntime", "chat"), ("numpy", "numpy", "chat")),
    *(("pillow", "PIL", "chat"), ("textual", "textual", "chat"), ("huggingface-hub", "huggingface_hub", "chat")),
    *(("accelerate", "accelerate", "models"), ("bitsandbytes", "bitsandbytes", "models")),
    *(("gguf", "gguf", "models"), ("rapidocr", "rapidocr", "skills")),
    *(("opencv-python-headless", "cv2", "skills"), ("faster-whisper", "faster_whisper", "voice")),
    *(("ctranslate2", "ctranslate2", "voice"), ("av", "av", "voice"), ("sounddevice", "sounddevice", "voice")),
    *(("hibari-tts", "hibari", "voice"), ("pywebrtc-audio", "pywebrtc_audio", "voice")),
    *(("torchvision", "torchvision", "extra"), ("num2words", "num2words", "extra"), ("piper-tts", "piper", "extra")),
    *(("coqui-tts", "TTS", "extra"), ("kernels", "kernels", "extra")),
)
# What a model on a server does without.
_LOCAL_PACKAGES = frozenset({"torch", "transformers", "safetensors", "xllamacpp", "onnxruntime"})
_DISTRIBUTION = "parley-assistant"
_EXACT = re.compile(r"^([\w.-]+)==([\w.]+)$")


@dataclass(frozen=True)
class Missing:
    """Something that this machine lacks.

    Attributes:
        what: The thing, and what it is for.
        needed: True if nobody can chat without it.
        remedy: Command to get it, or advice.
    """

    what: str
    needed: bool
    remedy: str


@dataclass(frozen=True)
class Report:
    """All sections by name, and what is missing."""

    facts: Mapping[str, Facts]
    missing: tuple[Missing, ...]

    @property
    def can_chat(self) -> bool:
        """False if something is missing that a chat needs."""
        return not any(each.needed for each in self.missing)


def examine(settings: Settings, settings_error: str = "", config_file: str = "") -> Report:
    """Examine this machine. Takes three seconds at most, and as long as torch takes to import where there is a GPU.

    Args:
        settings: What is asked about; the defaults if they cannot be read.
        settings_error: The reason for that, or an empty string.
        config_file: Name of the file of the settings.
    """
    probes: dict[str, Callable[[], Facts]] = {
        "parley": lambda: _about(settings_error, config_file),
        "processor": _processor,
        "memory": _memory,
        "gpu": _gpu,
        "folders": lambda: _folders(settings),
        "audio": _audio,
        "programs": _programs,
        "hub": _hub,
        "servers": lambda: _servers(settings),
        "packages": _packages,
    }
    facts = _run_all(probes)
    facts["uses"] = _attempt(lambda: _uses(settings))
    return Report(facts, tuple(find_missing(facts)))


def find_missing(facts: Mapping[str, Facts]) -> list[Missing]:
    """Return what is missing according to the sections of a report."""
    uses = facts.get("uses", {})
    remote = bool(uses.get("server"))
    found = []
    if error := facts.get("parley", {}).get("settings_error"):
        found.append(Missing(error, needed=True, remedy="correct it: these are the defaults"))
    for name, package in facts.get("packages", {}).items():
        if isinstance(package, dict) and (problem := package["problem"]):
            needed = package["for"] == "chat" and not (remote and name in _LOCAL_PACKAGES)
            found.append(Missing(f"{name} {problem} ({package['for']})", needed, package["remedy"]))
    found += [
        Missing(f"the server at {server['address']} does not answer", server["in_use"], "start it, or see --base-url")
        for server in facts.get("servers", {}).get("configured", [])
        if not server["reachable"]
    ]
    for folder in facts.get("folders", {}).get("all", []):
        if not folder["writable"]:
            advice = f"make {folder['path']} writable, or name another with {folder['variable']}"
            found.append(
                Missing(f"the folder of {folder['for']} cannot be written to", folder["for"] == "models", advice)
            )
    if error := uses.get("error"):
        found.append(Missing(f"no model can be chosen: {error}", needed=True, remedy="choose another with --model"))
    elif not remote and uses.get("downloaded") is False:
        found.append(_missing_download(uses["model"], facts.get("hub", {})))
    return found + _missing_for_gpu(facts) + _missing_for_voice(facts)


def _missing_download(model: str, hub: Facts) -> Missing:
    if model.startswith("pocket"):
        return Missing(
            f"{model} is not downloaded yet; the first start does it", needed=False, remedy=f"parley pull {model}"
        )
    in_reach = bool(hub.get("reachable"))
    where = "the first start does it" if in_reach else f"{hub.get('address', 'the hub')} is not in reach"
    return Missing(f"{model} is not downloaded yet; {where}", not in_reach, f"parley models pull {model}")


def _missing_for_gpu(facts: Mapping[str, Facts]) -> list[Missing]:
    gpu = facts.get("gpu", {})
    vendors = {card["vendor"] for card in gpu.get("cards", [])}
    if not vendors or gpu.get("usable"):
        return []
    build = gpu.get("torch_build")
    if "NVIDIA" in vendors and build == "cpu":
        remedy = "pip install --force-reinstall torch==2.13.0, from an index that has builds for CUDA"
    elif "AMD" in vendors and build != "rocm":
        remedy = "install torch 2.13.0 in its build for ROCm"
    elif "NVIDIA" in vendors:
        remedy = "install or repair the driver of the GPU"
    else:
        return []
    return [Missing(f"torch cannot use the GPU: it is built for {build or 'nothing'}", needed=False, remedy=remedy)]


def _missing_for_voice(facts: Mapping[str, Facts]) -> list[Missing]:
    found = []
    audio = facts.get("audio", {})
    if error := audio.get("error"):
        found.append(
            Missing(f"sound cannot be used: {error}", needed=False, remedy=_install("libportaudio2", "portaudio"))
        )
    elif audio and not (audio["microphones"] and audio["speakers"]):
        lacking = " and no ".join(name[:-1] for name in ("microphones", "speakers") if not audio[name])
        found.append(
            Missing(f"no {lacking}, for `parley voice`", needed=False, remedy="plug one in, and see `parley devices`")
        )
    if not facts.get("programs", {}).get("espeak-ng", True):
        remedy = _install("espeak-ng", "espeak-ng")
        found.append(Missing("espeak-ng, for voices in other languages than English", needed=False, remedy=remedy))
    return found


def _install(debian: str, homebrew: str) -> str:
    return f"brew install {homebrew}" if platform.system() == "Darwin" else f"sudo apt install {debian}"


def _run_all(probes: Mapping[str, Callable[[], Facts]]) -> dict[str, Facts]:
    """Run all probes at the same time. One that takes too long is left behind."""
    results: queue.SimpleQueue[tuple[str, Facts]] = queue.SimpleQueue()
    for name, probe in probes.items():
        work = threading.Thread(target=lambda n=name, p=probe: results.put((n, _attempt(p))), daemon=True, name=name)
        work.start()
    end = time.monotonic() + _PROBE_SECONDS
    facts: dict[str, Facts] = {name: {"error": f"no answer in {_PROBE_SECONDS:g} seconds"} for name in probes}
    for _ in probes:
        try:
            name, result = results.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            break
        facts[name] = result
    return facts


def _attempt(probe: Callable[[], Facts]) -> Facts:
    try:
        return probe()
    except Exception as error:  # noqa: BLE001 - whatever is broken here is what people want to be told
        described = first_line(error)
        return {"error": described if isinstance(error, ParleyError) else f"{type(error).__name__}: {described}"}


def _about(settings_error: str, config_file: str) -> Facts:
    return {
        "version": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "program": _short(sys.executable),
        "settings_file": _short(config_file),
        "settings_error": settings_error,
    }


def _processor() -> Facts:
    cpu = hardware.find_cpu()
    return {"name": cpu.name, "cores": cpu.cores, "threads": cpu.threads, "features": list(cpu.features)}


def _memory() -> Facts:
    import psutil

    from assistant.models.free_memory import free_memory

    return {"free": free_memory(), "total": int(psutil.virtual_memory().total)}


def _gpu() -> Facts:
    cards = [
        {"vendor": gpu.vendor, "name": gpu.name, "memory": gpu.memory_bytes, "driver": gpu.driver}
        for gpu in hardware.find_gpus()
    ]
    return {"cards": cards, "torch_build": hardware.torch_build(), "usable": hardware.gpu_backend() or ""}


def _folders(settings: Settings) -> Facts:
    from huggingface_hub import constants

    folders = (
        ("models", settings.cache_dir, "PARLEY_CACHE_DIR"),
        ("the hub's models", Path(constants.HF_HUB_CACHE), "HF_HUB_CACHE"),
        ("conversations", settings.data_dir, "PARLEY_DATA_DIR"),
    )
    return {"all": [_folder(purpose, path, variable) for purpose, path, variable in folders]}


def _folder(purpose: str, path: Path, variable: str) -> Facts:
    # The folder itself is made when it is needed.
    existing = next((each for each in (path, *path.parents) if each.exists()), Path("/"))
    writable = existing.is_dir() and os.access(existing, os.W_OK)
    free = shutil.disk_usage(existing).free
    return {"for": purpose, "path": _short(path), "free": free, "writable": writable, "variable": variable}


def _audio() -> Facts:
    from voice.audio.devices import list_devices

    devices = list_devices()
    return {
        "microphones": [device.name for device in devices if device.inputs],
        "speakers": [device.name for device in devices if device.outputs],
    }


def _programs() -> Facts:
    return {name: _short(shutil.which(name) or "") for name in ("ffmpeg", "espeak-ng", "nvidia-smi")}


def _hub() -> Facts:
    from huggingface_hub import constants, get_token

    offline = bool(constants.HF_HUB_OFFLINE)
    # Never the token itself: reports are sent to others.
    return {
        "address": _without_secrets(constants.ENDPOINT),
        "offline": offline,
        "reachable": not offline and answers(constants.ENDPOINT),
        "has_token": bool(get_token()),
    }


def _servers(settings: Settings) -> Facts:
    from parley.factory.servers import chosen_server

    chosen = chosen_server(settings)
    addresses = [chosen.base_url] if chosen else []
    addresses += [server.base_url for server in settings.servers.values() if server.base_url not in addresses]
    described = [
        {
            "address": _without_secrets(address),
            "reachable": answers(address),
            "in_use": number == 0 and chosen is not None,
        }
        for number, address in enumerate(addresses[:_MAX_SERVERS])
    ]
    has_key = bool(chosen and os.environ.get(chosen.key_variable))
    return {"configured": described, "has_key": has_key}


def _packages() -> Facts:
    exact = _exact_versions()
    return {name: _package(name, module, purpose, exact.get(name)) for name, module, purpose in _PACKAGES}


def _package(name: str, module: str, purpose: str, wanted: str | None) -> Facts:
    problem, version = "", ""
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
    except Exception as error:  # noqa: BLE001 - a damaged installation may raise anything
        problem = f"is damaged: {first_line(error)}"
    if not problem and find_spec(module) is None:
        problem = "" if purpose == "extra" else "is missing"
        version = ""
    elif wanted and version and version.partition("+")[0] != wanted:
        problem = f"is version {version}, and Parley was tested with {wanted}"
    install = f"pip install {name}{'==' + wanted if wanted else ''}"
    return {"version": version, "for": purpose, "problem": problem, "remedy": install if problem else ""}


def _exact_versions() -> dict[str, str]:
    """Return the versions that Parley asks for exactly, by package."""
    try:
        requirements = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return {}
    found = (_EXACT.match(requirement.partition(";")[0].strip()) for requirement in requirements)
    return {match.group(1): match.group(2) for match in found if match}


def _uses(settings: Settings) -> Facts:
    from parley.choices import choices

    return choices(settings)


def _short(path: object) -> str:
    """Return a path with `~` for the home directory, which names its owner."""
    text, home = str(path), str(Path.home())
    return f"~{text[len(home) :]}" if home != "/" and text.startswith(home) else text


def _without_secrets(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
