"""XTTS-v2: Coqui's large voice in 17 languages, which streams its audio and can clone the voice in a recording.

Its weights may not be used for every purpose: a person has to accept their license first.
"""

import os
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.attachments.file_lookup import expand_user
from assistant.errors import ConfigError, MissingExtraError, VoiceError, first_line
from assistant.languages import suggest
from voice.tts import coqui
from voice.tts.engine import License, VoiceEngine, is_english
from voice.tts.voice_languages import XTTS_LANGUAGES

if TYPE_CHECKING:
    from assistant.progress import Progress
    from assistant.settings import Settings
    from voice.audio.types import Samples

NAME = "tts_models/multilingual/multi-dataset/xtts_v2"

LICENSE = License(
    text="XTTS-v2 and what it says are under the Coqui Public Model License, which allows non-commercial use only: "
    "https://tts-hub.github.io/cpml",
    setting="xtts_licence_accepted",
    accepted_file="xtts-licence-accepted",
    how_to_accept="to accept it, run `parley speak --voice xtts hello` on a terminal and say yes, or set "
    "PARLEY_XTTS_LICENCE_ACCEPTED=true",
)

AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".m4a")
"""Endings of files that hold a voice to clone."""

# Longer texts are wrapped: XTTS's own splitting needs spaCy and its grammars.
_MAX_CHARACTERS = 180
# Codes of the model per chunk of audio: about a second.
_STREAM_CHUNK_SIZE = 20


class Xtts:
    """A loaded XTTS model with one voice. Implements `TextToSpeech`; audio is streamed while a sentence is computed."""

    def __init__(self, model: Any, gpt_cond_latent: Any, speaker_embedding: Any, language: str) -> None:
        self._model: Any = model
        self._voice = gpt_cond_latent, speaker_embedding
        self._code = language
        self.language = language.partition("-")[0]
        self.sample_rate = int(model.args.output_sample_rate)

    @classmethod
    def load(cls, source: str = NAME, *, voice: str = "", language: str = "en", device: str = "auto") -> "Xtts":
        """Load a model and one voice.

        Args:
            source: A folder, or Coqui's name of the model.
            voice: One of its speakers, or an audio file with the voice to clone; "" is the first speaker.
            language: Code of the language to speak.
            device: As for `Coqui.load`.

        Raises:
            MissingExtraError: coqui-tts is not installed, or FFmpeg is missing to read the audio file.
            ConfigError: There is no such audio file, or the model knows no such speaker or language.
            VoiceError: The folder or the audio file cannot be used, or the download failed.
        """
        reference = reference_audio(voice)
        coqui.import_library()
        folder = Path(source) if Path(source).is_dir() else coqui.download(source)
        if not (folder / "vocab.json").is_file():
            raise VoiceError(f"{folder} is not an XTTS voice: there is no vocab.json in it.")
        config_file, _ = coqui.find_checkpoint(folder)
        from TTS.tts.configs.xtts_config import XttsConfig
        from TTS.tts.models.xtts import Xtts as Model

        try:
            config = XttsConfig()
            config.load_json(str(config_file))
            model = Model.init_from_config(config)
            model.load_checkpoint(config, checkpoint_dir=str(folder), eval=True)
            model.to(coqui.torch_device(device))
        except coqui.COQUI_ERRORS as error:
            raise VoiceError(f"The XTTS voice {source} cannot be loaded: {first_line(error)}.") from error
        code = _language_code(language, config.languages)
        latents = _speaker_latents(model, voice) if reference is None else _clone_voice(model, reference)
        return cls(model, *latents, code)

    def synthesize(self, sentence: str) -> "Iterator[Samples]":
        import numpy as np

        for part in textwrap.wrap(sentence.replace("\0", " "), _MAX_CHARACTERS):
            if not any(character.isalnum() for character in part):
                continue
            try:
                for samples in self._model.inference_stream(
                    part, self._code, *self._voice, stream_chunk_size=_STREAM_CHUNK_SIZE
                ):
                    yield np.clip(samples.float().cpu().numpy().reshape(-1), -1.0, 1.0)
            except coqui.COQUI_ERRORS as error:
                raise VoiceError(f"XTTS failed on {part[:40]!r}: {first_line(error)}.") from error

    def close(self) -> None:
        self._model = None


def reference_audio(voice: str) -> Path | None:
    """Return the audio file that `voice` names, None if it names a speaker. Raises `ConfigError` for a missing file."""
    path = expand_user(voice) if voice.lower().endswith(AUDIO_SUFFIXES) else None
    if path is not None and not path.is_file():
        raise ConfigError(f"There is no recording {voice}: name a file with a few seconds of the voice to clone.")
    return path


def _language_code(language: str, known: list[str]) -> str:
    """Return the model's own code for a language: "zh-cn" for "zh"."""
    exact = [code for code in known if code == language]
    matches = exact or [code for code in known if code.partition("-")[0] == language]
    if not matches:
        raise ConfigError(f"XTTS does not speak {language!r}: {suggest(language, known)}")
    return matches[0]


def _speaker_latents(model: Any, name: str) -> tuple[Any, Any]:
    manager = model.speaker_manager
    speakers = {} if manager is None else manager.speakers
    if not speakers:
        raise VoiceError("This XTTS voice has no speakers of its own: name a recording to clone, xtts:voice.wav.")
    speaker = name or next(iter(speakers))
    if speaker not in speakers:
        raise ConfigError(
            f"XTTS has no speaker {name!r}: choose one of {', '.join(speakers)}, or a recording, xtts:voice.wav."
        )
    return speakers[speaker]["gpt_cond_latent"], speakers[speaker]["speaker_embedding"]


def _clone_voice(model: Any, reference: Path) -> tuple[Any, Any]:
    """Compute the latents of the voice in an audio file.

    Raises:
        MissingExtraError: Coqui reads audio files with FFmpeg, which is not installed.
        VoiceError: The file cannot be used.
    """
    try:
        gpt_cond_latent, speaker_embedding = model.get_conditioning_latents(audio_path=[str(reference)])
    except (*coqui.COQUI_ERRORS, ImportError) as error:
        if "torchcodec" in str(error).lower():
            raise MissingExtraError(
                "Coqui reads recordings with FFmpeg, whose libraries are not installed: `apt install ffmpeg`, or "
                "choose one of XTTS's own speakers with xtts:NAME."
            ) from error
        raise VoiceError(
            f"The voice in {reference} cannot be cloned ({first_line(error)}): give a few seconds of clear "
            "speech as a WAV file."
        ) from error
    return gpt_cond_latent, speaker_embedding


def voice_name_of_clone(audio: str) -> str:
    """Return the voice name that clones the voice in an audio file."""
    return f"{ENGINE.kind}:{audio}"


# Looked up at each call, so that tests can replace them.
def _is_installed() -> bool:
    return coqui.is_installed()


def _require() -> None:
    coqui.import_library()


def _load(argument: str, settings: "Settings", _progress: "Progress") -> Xtts:
    # Coqui's model manager would ask about the license again, on standard output.
    os.environ["COQUI_TOS_AGREED"] = "1"
    language = "en" if is_english(settings) else settings.language
    return Xtts.load(voice=argument, language=language, device=settings.device)


ENGINE = VoiceEngine(
    kind="xtts",
    usage=("xtts", "xtts:SPEAKER", "xtts:RECORDING.wav"),
    load=_load,
    is_installed=_is_installed,
    argument="optional",
    check=reference_audio,
    require=_require,
    license=LICENSE,
    languages=XTTS_LANGUAGES,
)
