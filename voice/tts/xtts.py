"""XTTS-v2 speaks: a large voice of Coqui's, in 17 languages, that is heard while it computes and imitates recordings.

Its weights are not free for all purposes: whoever uses it has to have accepted their licence, which is asked about once
and never taken for granted.
"""

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import ConfigError, MissingExtraError, VoiceError
from assistant.languages import suggest
from voice.tts import coqui

if TYPE_CHECKING:
    from voice.audio.types import Samples

NAME = "tts_models/multilingual/multi-dataset/xtts_v2"

LICENCE = (
    "XTTS-v2 and what it says are under the Coqui Public Model License, which allows non-commercial use only: "
    "https://tts-hub.github.io/cpml"
)

RECORDINGS = (".wav", ".flac", ".mp3", ".ogg", ".m4a")
"""Endings of files with a voice to imitate."""

_ACCEPTED = "xtts-licence-accepted"
# Spoken at once; its own splitting needs a library of grammars.
_MOST_CHARACTERS = 180
# Codes of the model that sound is made of at a time: about a second of it.
_CHUNK = 20


class Xtts:
    """A loaded XTTS with one voice. Keeps the promises of `TextToSpeech`, and yields sound while a sentence is made."""

    def __init__(self, model: Any, conditioning: Any, embedding: Any, language: str) -> None:
        self._model: Any = model
        self._voice = conditioning, embedding
        self._language = language
        self.sample_rate = int(model.args.output_sample_rate)

    @classmethod
    def load(cls, source: str = NAME, *, voice: str = "", language: str = "en", device: str = "auto") -> "Xtts":
        """Load the folder or name `source`, to speak `language` with `voice`: one of its speakers, or a recording.

        Without `voice` it is its first speaker. Raises `MissingExtraError` without coqui-tts, `ConfigError` for a
        speaker or language it does not know, and `VoiceError` for a folder or recording that is none and a download
        that fails.
        """
        recording = reference_recording(voice)
        coqui.library()
        folder = Path(source) if Path(source).is_dir() else coqui.download(source)
        if not (folder / "vocab.json").is_file():
            raise VoiceError(f"{folder} is no XTTS voice: there is no vocab.json in it.")
        config_file, _ = coqui.find(folder)
        from TTS.tts.configs.xtts_config import XttsConfig
        from TTS.tts.models.xtts import Xtts as Model

        try:
            config = XttsConfig()
            config.load_json(str(config_file))
            model = Model.init_from_config(config)
            model.load_checkpoint(config, checkpoint_dir=str(folder), eval=True)
            model.to(coqui.torch_device(device))
        except coqui.FAILURES as error:
            raise VoiceError(f"The XTTS voice {source} cannot be loaded: {coqui.first_line(error)}.") from error
        spoken = _language(language, config.languages)
        if recording is not None:
            return cls(model, *_imitated(model, recording), spoken)
        return cls(model, *_speaker(model, voice), spoken)

    def synthesize(self, sentence: str) -> "Iterator[Samples]":
        import numpy as np

        for part in textwrap.wrap(sentence.replace("\0", " "), _MOST_CHARACTERS):
            if not any(character.isalnum() for character in part):
                continue
            try:
                for samples in self._model.inference_stream(
                    part, self._language, *self._voice, stream_chunk_size=_CHUNK
                ):
                    yield np.clip(samples.float().cpu().numpy().reshape(-1), -1.0, 1.0)
            except coqui.FAILURES as error:
                raise VoiceError(f"XTTS failed on {part[:40]!r}: {coqui.first_line(error)}.") from error

    def close(self) -> None:
        self._model = None


def reference_recording(voice: str) -> Path | None:
    """The recording that `voice` names, None if it names a speaker. Raises `VoiceError` if there is no such file."""
    recording = Path(voice).expanduser() if voice.lower().endswith(RECORDINGS) else None
    if recording is not None and not recording.is_file():
        raise VoiceError(f"There is no recording {voice}: name a file with a few seconds of the voice to imitate.")
    return recording


def is_accepted(data_dir: Path) -> bool:
    """Whether the licence has been accepted on this machine."""
    return (data_dir / _ACCEPTED).is_file()


def accept(data_dir: Path) -> None:
    """Remember that somebody has accepted the licence. Raises `VoiceError` if that cannot be written down."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        (data_dir / _ACCEPTED).write_text(f"{LICENCE}\n", "utf-8")
    except OSError as error:
        raise VoiceError(f"{data_dir / _ACCEPTED} cannot be written: {error.strerror}.") from error


def _language(wanted: str, known: list[str]) -> str:
    """The model's own code for a language."""
    found = [code for code in known if code == wanted] or [code for code in known if code.partition("-")[0] == wanted]
    if not found:
        raise ConfigError(f"XTTS does not speak {wanted!r}: {suggest(wanted, known)}")
    return found[0]


def _speaker(model: Any, name: str) -> tuple[Any, Any]:
    manager = model.speaker_manager
    speakers = {} if manager is None else manager.speakers
    if not speakers:
        raise VoiceError("This XTTS voice has no speakers of its own: name a recording to imitate, xtts:voice.wav.")
    chosen = name or next(iter(speakers))
    if chosen not in speakers:
        raise ConfigError(
            f"XTTS has no speaker {name!r}: choose one of {', '.join(speakers)}, or a recording, xtts:voice.wav."
        )
    return speakers[chosen]["gpt_cond_latent"], speakers[chosen]["speaker_embedding"]


def _imitated(model: Any, recording: Path) -> tuple[Any, Any]:
    """How the voice in `recording` sounds. Raises `VoiceError`, and `MissingExtraError` without FFmpeg."""
    try:
        conditioning, embedding = model.get_conditioning_latents(audio_path=[str(recording)])
    except (*coqui.FAILURES, ImportError) as error:
        if "torchcodec" in str(error).lower():
            raise MissingExtraError(
                "Coqui reads recordings with FFmpeg, whose libraries are not installed: `apt install ffmpeg`, or "
                "choose one of XTTS's own speakers with xtts:NAME."
            ) from error
        raise VoiceError(
            f"The voice in {recording} cannot be imitated ({coqui.first_line(error)}): give a few seconds of clear "
            "speech as a WAV file."
        ) from error
    return conditioning, embedding
