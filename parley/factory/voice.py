"""Build the parts of a spoken conversation, and read audio files for skills."""

from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from assistant import __version__
from assistant.errors import ConfigError, ModelError, VoiceError
from assistant.messages import Audio
from assistant.progress import OnNotice, Progress, no_notice, no_progress
from parley.factory.bundled import cache_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from assistant.settings import Settings
    from voice.audio.decode import AudioFile
    from voice.options import SpeechEngines
    from voice.stt.base import SpeechToText
    from voice.tts.base import TextToSpeech
    from voice.turns.endpointing import EndOfTurnModel
    from voice.voice_session import VoiceSession

BUNDLED_WHISPER_NAMES = ("auto", "base")
"""Values of the setting `whisper` that select the bundled model, for which no hub is needed."""

_LOGGED_PACKAGES = (
    "faster-whisper",
    "ctranslate2",
    "onnxruntime",
    "hibari-tts",
    "piper-tts",
    "coqui-tts",
    "torch",
    "transformers",
)
"""Packages whose versions the log of a call tells, where they are installed."""

_MAX_AUDIO_SECONDS = 120
"""Skills use this much of an audio file."""


def build_stt(
    settings: "Settings", progress: Progress = no_progress, names: "Sequence[str]" = (), *, word_times: bool = True
) -> "SpeechToText":
    """Load the Whisper model that `settings` select; download and assemble it first if needed.

    Blocks for a second, and on first use for as long as the download takes. `names` may be said, beside the hot words
    of the settings. Without `word_times`, which a conversation does not need, segments hold no words.

    Raises:
        ModelError: A download failed.
        VoiceError: The model cannot be loaded.
        ConfigError: There is no such model, or it does not know the language.
    """
    from voice.stt.whisper import Whisper, unknown_language_message

    if settings.whisper in BUNDLED_WHISPER_NAMES:
        source = str(assemble_whisper(settings, progress))
    else:
        source = settings.whisper
        # faster-whisper downloads from the hub without reporting progress.
        progress(f"loading Whisper {Path(source).name}", 0, 0)
    stt = Whisper.load(source, device=settings.device, hot_words=(*settings.hotwords, *names), word_times=word_times)
    if settings.language not in ("auto", *stt.languages):
        raise ConfigError(unknown_language_message(settings.language, stt.languages))
    return stt


def assemble_whisper(settings: "Settings", progress: Progress = no_progress, *, verify_hashes: bool = False) -> Path:
    """Make sure that the bundled Whisper is complete in the cache, and return its folder, like `assemble_pocket`.

    `verify_hashes` compares every byte of an existing folder.
    """
    from voice.stt import whisper_weights

    try:
        return whisper_weights.ensure(settings.cache_dir, progress, verify_hashes=verify_hashes)
    except OSError as error:
        raise cache_error("Whisper", settings, error) from error


def build_end_of_turn_model(
    settings: "Settings", progress: Progress = no_progress, on_notice: OnNotice = no_notice
) -> "EndOfTurnModel | None":
    """Load the model that tells a pause from the end of a turn.

    Blocks like `build_stt`. Returns None, and passes the reason to `on_notice`, if it cannot be loaded.
    """
    from voice.turns import smart_turn

    try:
        return smart_turn.SmartTurn.load(smart_turn.fetch_bundled(settings.cache_dir, progress))
    except (ModelError, VoiceError) as error:
        on_notice(f"{error} Until then silence decides when a turn is over.")
        return None


def build_tts(
    settings: "Settings", progress: Progress = no_progress, on_notice: OnNotice = no_notice
) -> "TextToSpeech":
    """Load the voice that `settings` select: see `voice.tts.registry.load_voice`. Blocks like `build_stt`."""
    from voice.tts.registry import load_voice

    return load_voice(settings, progress, on_notice)


def build_voice_session(settings: "Settings", progress: Progress = no_progress) -> "VoiceSession":
    """Build everything that a spoken conversation needs beside the chat model.

    Blocks like `build_stt`. The devices are looked for first, before anything is downloaded or loaded.

    Raises:
        VoiceError: There is no such microphone or speaker.
        ModelError: As `build_stt` and `build_tts`.
        ConfigError: As `build_stt` and `build_tts`.
    """
    from parley.factory.emotion import build_emotion_detector
    from voice.audio.devices import find_device
    from voice.audio.streams import AudioOutput, Microphone
    from voice.options import SpeechEngines, VoiceOptions
    from voice.stt.hot_words import names_in
    from voice.voice_session import VoiceSession

    find_device(settings.speaker, "output")
    microphone = Microphone(settings.microphone)
    notices: list[str] = []
    tts = build_tts(settings, progress, notices.append)
    engines = SpeechEngines(
        build_stt(settings, progress, names_in(settings.system or ""), word_times=False),
        tts,
        build_end_of_turn_model(settings, progress, notices.append),
        build_emotion_detector(settings) if settings.empathy else None,
    )
    options = VoiceOptions(
        language=None if settings.language == "auto" else settings.language,
        headphones=settings.headphones,
        call_log=settings.call_log,
        audio_dir=settings.keep_audio,
        record=settings.record,
    )
    speaker = AudioOutput(tts.sample_rate, settings.speaker)
    about = describe_engines(settings, engines)
    return VoiceSession(engines, microphone, speaker, options, notices=notices, about=about)


def describe_engines(settings: "Settings", engines: "SpeechEngines") -> dict[str, object]:
    """Return what the log of a call says about voice, speech recognition and versions."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    versions = {"parley": __version__, "python": platform.python_version()}
    for package in _LOGGED_PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return {
        # The module of an engine has its name.
        "voice": settings.voice,
        "voice_engine": type(engines.tts).__module__.rpartition(".")[2],
        "voice_rate": engines.tts.sample_rate,
        "stt": "base" if settings.whisper in BUNDLED_WHISPER_NAMES else settings.whisper,
        "stt_engine": type(engines.stt).__module__.rpartition(".")[2],
        "versions": versions,
    }


def load_audio(path: str, data: bytes | None = None) -> tuple[Audio, list[str]]:
    """Decode the first two minutes of an audio file for a skill.

    Args:
        path: The file.
        data: Its content, if it was read already.

    Returns:
        Mono audio at 16 kHz, and notices about what was left out.

    Raises:
        VoiceError: The file cannot be opened or decoded.
    """
    from voice.audio.decode import open_audio
    from voice.audio.types import SAMPLE_RATE

    notices: list[str] = []
    with open_audio(path if data is None else BytesIO(data), path) as audio_file:
        samples, is_complete = _first_samples(audio_file, _MAX_AUDIO_SECONDS * SAMPLE_RATE)
        # A video may have a silent track before the one with the sound.
        while not samples.any() and audio_file.use_next_track():
            samples, is_complete = _first_samples(audio_file, _MAX_AUDIO_SECONDS * SAMPLE_RATE)
        if not is_complete:
            notices.append(f"{path} is long: only its first {_MAX_AUDIO_SECONDS} seconds are used.")
        if damage := audio_file.damage():
            notices.append(damage)
    return Audio(samples.astype("<f4").tobytes(), SAMPLE_RATE), notices


def _first_samples(audio_file: "AudioFile", count: int) -> "tuple[NDArray[np.float32], bool]":
    """Decode the first samples of a track. Returns them, and False if there are more."""
    import numpy as np

    blocks: list[NDArray[np.float32]] = [np.zeros(0, np.float32)]
    size = 0
    for block in audio_file.blocks():
        blocks.append(block)
        size += block.size
        if size > count:
            break
    return np.concatenate(blocks)[:count], size <= count
