"""Voice names: parse them, and load the voices they select.

    auto                                     the best voice that this machine has
    hibari                                   voice.tts.hibari
    piper, FILE.onnx                         voice.tts.piper
    espeak, espeak:de                        voice.tts.espeak
    coqui:FOLDER_OR_NAME                     voice.tts.coqui
    xtts, xtts:SPEAKER, xtts:RECORDING.wav   voice.tts.xtts

A new kind of voice is one module with an `ENGINE`, and one entry in `ENGINES`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from assistant.errors import ConfigError, MissingExtraError, VoiceError
from assistant.progress import OnNotice, Progress, no_notice, no_progress
from voice.tts import coqui, espeak, hibari, piper, xtts
from voice.tts.engine import VoiceEngine, is_english

if TYPE_CHECKING:
    from assistant.settings import Settings
    from voice.tts.base import TextToSpeech

AUTO = "auto"
ENGINES = (hibari.ENGINE, piper.ENGINE, espeak.ENGINE, coqui.ENGINE, xtts.ENGINE)


def parse_voice_name(name: str) -> tuple[VoiceEngine, str] | None:
    """Return the engine that `name` selects and the argument for it, or None for "auto".

    "espeak:de" is espeak with the argument "de", "piper" is Piper with "", "/voices/amy.onnx" is Piper with that path.

    Raises:
        ConfigError: There is no such voice.
    """
    if name == AUTO:
        return None
    for engine in ENGINES:
        if engine.suffix and name.endswith(engine.suffix):
            return engine, name
    kind, colon, argument = name.partition(":")
    for engine in ENGINES:
        if engine.kind == kind and (argument or engine.argument != "required"):
            if colon and engine.argument == "none":
                break
            return engine, argument
    *usages, last = (usage for engine in ENGINES for usage in engine.usage)
    raise ConfigError(f"There is no voice {name}: choose {', '.join([AUTO, *usages])} or {last}.")


def load_voice(
    settings: "Settings", progress: Progress = no_progress, on_notice: OnNotice = no_notice
) -> "TextToSpeech":
    """Load the voice that the setting `voice` names; download it first if needed.

    Args:
        settings: `voice`, `language`, `device`, the folders, and the licenses that were accepted.
        progress: Progress callback.
        on_notice: Receives the reason if "auto" could not load the preferred voice.

    Raises:
        ConfigError: There is no such voice, or its license is not accepted.
        MissingExtraError: The voice needs a package or program that is not installed.
        ModelError: A download failed.
        VoiceError: The voice cannot be loaded.
    """
    parsed = parse_voice_name(settings.voice)
    if parsed is None:
        return _load_auto(settings, progress, on_notice)
    engine, argument = parsed
    engine.check(argument)
    engine.require()
    if engine.license is not None and not engine.license.is_accepted(settings):
        raise ConfigError(f"{engine.license.text} ({engine.license.how_to_accept}).")
    return engine.load(argument, settings, progress)


def fetch_voice(settings: "Settings", progress: Progress = no_progress) -> Path:
    """Return the folder of the English voice, downloading it first if needed: Piper's if the setting names it.

    Raises:
        MissingExtraError: The package of the bundled voice is not installed.
        ModelError: A download failed.
    """
    if settings.voice == piper.ENGINE.kind:
        return piper.fetch_english(settings.cache_dir, progress).parent
    return hibari.folder()


def _load_auto(settings: "Settings", progress: Progress, on_notice: OnNotice) -> "TextToSpeech":
    """Load the best voice: Coqui's fast voice on a GPU, else the bundled one, which speak English; else espeak-ng."""
    if is_english(settings):
        if coqui.is_installed() and coqui.is_on_gpu(settings.device):
            try:
                return coqui.Coqui.load(coqui.FAST_VOICE, device=settings.device)
            except (VoiceError, MissingExtraError) as error:
                on_notice(f"{error} Until then another voice speaks.")
        if hibari.is_installed():
            return hibari.ENGINE.load("", settings, progress)
    return espeak.ENGINE.load("", settings, progress)
