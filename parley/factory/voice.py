"""Build the parts of a spoken conversation, and read audio files for skills."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.errors import ConfigError, MissingExtraError, ModelError, VoiceError
from assistant.messages import Audio
from assistant.progress import OnNotice, Progress, no_notice, no_progress
from parley.factory.models import cache_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assistant.settings import Settings
    from voice.stt.base import SpeechToText
    from voice.tts.base import TextToSpeech
    from voice.turns.endpointing import EndOfTurnModel
    from voice.voice_session import VoiceSession

BUNDLED_WHISPER_NAMES = ("auto", "base")
"""Values of the setting `whisper` that select the bundled model, for which no hub is needed."""

_MAX_AUDIO_SECONDS = 120
"""Skills use this much of an audio file."""


def build_stt(settings: "Settings", progress: Progress = no_progress) -> "SpeechToText":
    """Load the Whisper model that `settings` select; download and assemble it first if needed.

    Blocks for a second, and on first use for as long as the download takes.

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
    stt = Whisper.load(source, device=settings.device)
    if settings.language not in ("auto", *stt.languages):
        raise ConfigError(unknown_language_message(settings.language, stt.languages))
    return stt


def assemble_whisper(settings: "Settings", progress: Progress = no_progress, *, verify_hashes: bool = False) -> Path:
    """Make sure that the bundled Whisper is complete in the cache, and return its folder: see `assemble_pocket`."""
    from voice.stt import whisper_weights

    try:
        return whisper_weights.ensure(settings.cache_dir, progress, thorough=verify_hashes)
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
    """Load the voice that `settings` ask for, fetching it first where that is needed.

    "auto" is a fast voice of Coqui's on a GPU, and else the bundled one, both of which speak English, as far as their
    packages are installed; without them, and for any other language that is set, espeak-ng. `on_notice` hears why it is
    not Coqui's. Blocks like `build_stt`. Raises `ModelError`, `VoiceError`, `MissingExtraError`, and
    `ConfigError` for a voice there is not.
    """
    from voice.tts import coqui, piper
    from voice.tts.espeak import Espeak

    english = settings.language in ("auto", "en")
    kind, _, which = settings.voice.partition(":")
    if settings.voice == "auto" and english and coqui.is_installed() and coqui.is_on_gpu(settings.device):
        try:
            return coqui.Coqui.load(coqui.FAST_VOICE, device=settings.device)
        except (VoiceError, MissingExtraError) as error:
            on_notice(f"{error} Until then another voice speaks.")
    if settings.voice.endswith(".onnx"):
        return piper.Piper.load(Path(settings.voice))
    if settings.voice == "piper" or (settings.voice == "auto" and english and piper.is_installed()):
        return piper.Piper.load(piper.fetch_bundled(settings.cache_dir, progress))
    if kind == "espeak" or settings.voice == "auto":
        return Espeak.load(which or ("en-us" if english else settings.language))
    if kind == "xtts":
        from voice.tts import xtts

        # Before a package, a licence and a download are asked for.
        xtts.reference_recording(which)
        coqui.library()
        if not (settings.xtts_licence_accepted or xtts.is_accepted(settings.data_dir)):
            raise ConfigError(
                f"{xtts.LICENCE} (to accept it, run `parley speak --voice xtts hello` on a terminal and say yes, or "
                "set PARLEY_XTTS_LICENCE_ACCEPTED=true)."
            )
        # Its manager would ask again, on standard output.
        os.environ["COQUI_TOS_AGREED"] = "1"
        return xtts.Xtts.load(voice=which, language="en" if english else settings.language, device=settings.device)
    if kind == "coqui" and which:
        return coqui.Coqui.load(str(Path(which).expanduser()), device=settings.device)
    raise ConfigError(
        f"There is no voice {settings.voice}: choose auto, piper (the bundled one), the .onnx file of a Piper voice, "
        "espeak, espeak:de, coqui:FOLDER_OR_NAME, xtts, xtts:SPEAKER or xtts:RECORDING.wav."
    )


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
    from voice.voice_session import VoiceSession

    find_device(settings.speaker, "output")
    microphone = Microphone(settings.microphone)
    notices: list[str] = []
    tts = build_tts(settings, progress, notices.append)
    return VoiceSession(
        build_stt(settings, progress),
        tts,
        microphone,
        AudioOutput(tts.sample_rate, settings.speaker),
        judge=build_end_of_turn_model(settings, progress, notices.append),
        feel=build_emotion_detector(settings) if settings.empathy else None,
        # Shown when the first conversation starts.
        notices=notices,
        language=None if settings.language == "auto" else settings.language,
        headphones=settings.headphones,
        log=settings.call_log,
        keep_audio=settings.keep_audio,
    )


def load_audio(path: str) -> tuple[Audio, list[str]]:
    """Decode the first two minutes of an audio file for a skill.

    Returns:
        Mono audio at 16 kHz, and notices about what was left out.

    Raises:
        VoiceError: The file cannot be opened or decoded.
    """
    import numpy as np

    from voice.audio.decode import open_audio
    from voice.audio.types import SAMPLE_RATE

    notices: list[str] = []
    blocks: list[NDArray[np.float32]] = []
    remaining = _MAX_AUDIO_SECONDS * SAMPLE_RATE
    with open_audio(path) as audio_file:
        for block in audio_file.blocks():
            blocks.append(block[:remaining])
            remaining -= block.size
            if remaining <= 0:
                notices.append(f"{path} is long: only its first {_MAX_AUDIO_SECONDS} seconds are used.")
                break
        if audio_file.decode_errors:
            notices.append(f"{path} is damaged: parts that could not be decoded were left out.")
    samples = np.concatenate([np.zeros(0, np.float32), *blocks])
    return Audio(samples.astype("<f4").tobytes(), SAMPLE_RATE), notices
