"""Where Parley is put together: the one place that knows which parts make a conversation, used by tests too."""

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.conversation.session import Session
from assistant.errors import ConfigError, HistoryError, MissingExtraError, ModelError, VoiceError
from assistant.messages import Audio, Message, system
from assistant.models.base import ChatModel, GenerationOptions
from assistant.progress import OnNotice, Progress, no_notice, no_progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from assistant.history.store import History
    from assistant.models.catalog import Entry
    from assistant.settings import Settings
    from skills.emotion_models import Senses
    from skills.emotions.speaker_baseline import Acquaintance
    from skills.emotions.voice import Tone, VoiceReader
    from skills.vision_model import ChatVision
    from voice.empathy import Feel, Mood
    from voice.stt.base import SpeechToText
    from voice.tts.base import TextToSpeech
    from voice.turns.endpointing import Judge
    from voice.voice_session import Call

# Torch, SQLite and pydantic are imported where they are used: a command that needs none of them answers at once.

EMBEDDED_WHISPERS = ("auto", "base")
"""Names of the Whisper that needs no hub."""

SCRIPTED_MODEL = "scripted"
"""Name of the model that repeats what it is told; "scripted:0.1" takes 0.1 seconds for each word."""

# Of a recording whose tone of voice is wanted, in seconds.
_MOST_SOUND_SECONDS = 120

# In seconds: more than anyone waits, and less than a clock can count to.
_SLOWEST_WORD = 3600


def start(
    settings: "Settings", progress: Progress = no_progress, *, resume: str | None = None, keep: bool = True
) -> Session:
    """A conversation ready to be spoken to, with all its parts: the new one, or the one whose id is `resume`.

    Without `keep` nothing of it is saved. Blocks like `build_model`; raises `ModelError` and `HistoryError`.
    """
    history = open_history(settings)
    # The turn that runs or comes next tells them.
    model = build_model(settings, progress, history.notices.append)
    return build_session(settings, model, history, resume=resume, keep=keep)


def build_model(settings: "Settings", progress: Progress = no_progress, note: OnNotice = no_notice) -> ChatModel:
    """Load the model that `settings` ask for, fetching and assembling it first where that is needed.

    Blocks for seconds, and on first use for as long as the download takes; `progress` hears how far it is, and `note`
    what is to be known about the choice. Raises `ModelError`.
    """
    if is_remote(settings):
        return connect_model(settings, progress)
    name, _, pace = settings.model.partition(":")
    if name == SCRIPTED_MODEL:
        from assistant.models.scripted import ScriptedModel

        try:
            seconds = float(pace or 0)
        except ValueError:
            seconds = -1
        if not 0 <= seconds <= _SLOWEST_WORD:
            raise ConfigError(f"The model {settings.model} should say its seconds a word, like scripted:0.1.")
        return ScriptedModel(token_seconds=seconds)

    from assistant.models.local.model import LocalModel

    load = partial(
        LocalModel.load,
        device=settings.device,
        compile=settings.compile,
        detail=settings.detail,
        progress=progress,
        note=note,
    )
    source, quantize = settings.model, settings.quantize
    model: LocalModel | None = None
    if source == "auto" and (entry := automatic_choice(settings)) is not None:
        try:
            model = load(entry.name, quantize=quantize)
        except (ModelError, MissingExtraError) as error:
            # Out of reach, or the memory that was free has been taken meanwhile.
            note(f"{error} Until then the bundled model answers in the place of {entry.name}.")
            # What was asked for the other model may not suit the one that stands in for it.
            quantize = "auto"
    if model is None:
        source = str(assemble_pocket(settings, progress)) if source in ("auto", "pocket") else source
        model = load(source, quantize=quantize)
    for notice in model.notices:
        note(notice)
    return model


class Models:
    """What a conversation can change its model to; each is made as `settings` say. `note` as for `build_model`."""

    def __init__(self, settings: "Settings", note: OnNotice = no_notice) -> None:
        self._settings = settings
        self._note = note

    def fetch(self, name: str, progress: Progress = no_progress) -> None:
        """Make sure that this model can be loaded, as far as can be told before. Raises what `load` raises."""
        settings = self._called(name)
        if is_remote(settings) or name == "auto" or name.partition(":")[0] == SCRIPTED_MODEL:
            return
        from assistant.models.local import loader

        loader.fetch(str(assemble_pocket(settings, progress)) if name == "pocket" else name, progress)

    def load(self, name: str, progress: Progress = no_progress) -> ChatModel:
        """The model that `--model` calls `name`. Blocks and raises as `build_model` does."""
        return build_model(self._called(name), progress, self._note)

    def _called(self, name: str) -> "Settings":
        return self._settings.model_copy(update={"model": name})


def is_remote(settings: "Settings") -> bool:
    """Whether a server runs the model, and not this process."""
    return settings.backend == "remote" or (settings.backend == "auto" and settings.base_url is not None)


def automatic_choice(settings: "Settings") -> "Entry | None":
    """The best model of the catalogue for the memory that is free on the GPU; None without a GPU, or with a full one.

    Raises `ConfigError` if there is no such device.
    """
    from assistant.models import catalog, memory
    from assistant.models.local.placement import place

    placement = place(settings.device, settings.quantize)
    if placement.kind != "cuda":
        return None
    return catalog.best_fit(memory.free_bytes(placement.device), placement.quantization)


def connect_model(settings: "Settings", progress: Progress = no_progress) -> ChatModel:
    """The model on the server that `settings` name. Blocks until it answers; raises `ModelError` and `ConfigError`."""
    if settings.base_url is None:
        raise ConfigError("--backend remote needs the address of a server: --base-url http://localhost:8000/v1.")
    from assistant.models.remote.model import KEY_VARIABLE, RemoteModel

    return RemoteModel.connect(
        settings.base_url,
        model=None if _is_of_this_machine(settings.model) else settings.model,
        key=os.environ.get(KEY_VARIABLE) or None,
        progress=progress,
    )


def _is_of_this_machine(model: str) -> bool:
    """Whether `model` names none of a server's, such as one that was chosen with `parley models use` before."""
    from assistant.models import catalog

    return (
        model in ("auto", "pocket") or any(entry.name == model for entry in catalog.CATALOGUE) or Path(model).is_dir()
    )


def vision_model(settings: "Settings", progress: Progress = no_progress) -> "ChatVision":
    """What skills ask, on the model that `settings` ask for. Blocks like `build_model`; raises `ModelError`."""
    return vision_models(settings, threading.Event(), progress)[0]


def vision_models(
    settings: "Settings",
    stop: threading.Event,
    progress: Progress = no_progress,
    note: OnNotice = no_notice,
    *,
    jobs: int | None = None,
    most: int = 1,
) -> "list[ChatVision]":
    """One of these for each of as many threads as should ask at a time, and never more than `most`, ended by `stop`.

    `jobs` is how many; None is what suits the model. Raises `ConfigError` for several of a model that takes one.
    """
    from skills.batching import answers_together, seats
    from skills.vision_model import ChatVision

    model = build_model(settings, progress, note)
    if answers_together(model) and min(most, jobs or most) > 1:
        return [*seats(model, stop, most, jobs)]
    count = min(most, jobs or 1)
    if count == 1:
        return [ChatVision(model, stop)]
    if is_remote(settings) or settings.model.partition(":")[0] == SCRIPTED_MODEL:
        # They hold nothing but where to ask, and a server is asked once what it has.
        return [ChatVision(copy(model), stop) for _ in range(count)]
    model.close()
    raise ConfigError(f"The model {model.info.name} answers one question at a time: leave --jobs out.")


def senses(
    settings: "Settings",
    *,
    chat: Callable[[], ChatModel] | None = None,
    loading: "Callable[[], AbstractContextManager[Progress]] | None" = None,
    note: OnNotice = no_notice,
) -> "Senses":
    """What skills like emotion ask; nothing is loaded before it is asked for, and then inside of `loading`.

    `chat` gives a model that is there already, such as that of a conversation; without, the one that is set is loaded.
    """
    return _Senses(settings, chat, loading or (lambda: nullcontext(no_progress)), note)


class _Senses:
    """Keeps the promises of `Senses`, on one thread at a time."""

    def __init__(
        self,
        settings: "Settings",
        chat: Callable[[], ChatModel] | None,
        loading: Callable[[], AbstractContextManager[Progress]],
        note: OnNotice,
    ) -> None:
        # The bundled models, whichever others are set: the heads were trained on these.
        bundled = {"model": "pocket", "backend": "local", "quantize": "auto"}
        self._settings = settings
        self._embedded = settings.model_copy(update=bundled)
        self._chat = chat
        self._loading = loading
        self._note = note
        self._own: ChatModel | None = None
        self._pocket: ChatModel | None = None
        self._voices: VoiceReader | None = None

    def model(self) -> "ChatVision":
        from skills.vision_model import ChatVision

        if self._chat is not None:
            return ChatVision(self._chat())
        if self._own is None:
            with self._loading() as progress:
                self._own = build_model(self._settings, progress, self._note)
        return ChatVision(self._own)

    def states(self, pieces: Sequence[str], depths: Sequence[int]) -> "list[NDArray[np.float32]]":
        from assistant.models.base import HiddenStateModel

        reader = self.reader()
        assert isinstance(reader, HiddenStateModel)
        return reader.states(pieces, depths)

    def tone(self, samples: "NDArray[np.float32]") -> "Tone | None":
        return self.listener().read(samples)

    def load(self) -> None:
        """Load now what words and voices will be told by. Raises as `states` and `tone`."""
        self.reader()
        self.listener()

    def reader(self) -> ChatModel:
        """The bundled model: that of the conversation, where it is that, or one of its own."""
        there = self._chat() if self._chat is not None else None
        if there is not None and there.info.bundled:
            return there
        if self._pocket is None:
            with self._loading() as progress:
                self._pocket = build_model(self._embedded, progress)
        return self._pocket

    def listener(self) -> "VoiceReader":
        """What hears how a voice sounds."""
        if self._voices is None:
            with self._loading() as progress:
                self._voices = build_voice_reader(self._embedded, progress)
        return self._voices


class _Feeling:
    """Keeps the promises of `voice.empathy.Feel`, by the heads of the skill emotion."""

    def __init__(self, settings: "Settings") -> None:
        self._model: ChatModel | None = None
        self._senses = _Senses(settings, self._present, lambda: nullcontext(no_progress), no_notice)
        self._speaker: Acquaintance | None = None

    def prepare(self, model: ChatModel) -> None:
        from skills.emotions.speaker_baseline import Acquaintance

        self._model = model
        self._senses.load()
        self._speaker = Acquaintance(self._senses.listener(), self._senses.states)

    def __call__(self, model: ChatModel, words: str, samples: "NDArray[np.float32]") -> "Mood | None":
        from voice.empathy import Mood

        assert self._speaker is not None
        self._model = model
        found, sound = self._speaker.hear(words, samples)
        mood = None if found is None else Mood(found.label, found.confidence, found.parts)
        if sound is not None and not (mood is not None and mood.upset):
            self._speaker.remember(sound)
        return mood

    def _present(self) -> ChatModel:
        assert self._model is not None
        return self._model


def load_sound(path: str) -> "tuple[Audio, list[str]]":
    """The recording at `path` as skills take it, up to its first two minutes, and what is to be known of it.

    Raises `VoiceError`.
    """
    import numpy as np

    from voice.audio.decode import open_recording
    from voice.audio.types import HEARING_RATE

    notices: list[str] = []
    blocks: list[NDArray[np.float32]] = []
    room = _MOST_SOUND_SECONDS * HEARING_RATE
    with open_recording(path) as recording:
        for block in recording.blocks():
            blocks.append(block[:room])
            room -= block.size
            if room <= 0:
                notices.append(f"{path} is long: its first {_MOST_SOUND_SECONDS} seconds are listened to.")
                break
        if recording.damaged_parts:
            notices.append(f"{path} is damaged: some of its sound could not be decoded and was left out.")
    samples = np.concatenate([np.zeros(0, np.float32), *blocks])
    return Audio(samples.astype("<f4").tobytes(), HEARING_RATE), notices


def assemble_pocket(settings: "Settings", progress: Progress = no_progress, *, thorough: bool = False) -> Path:
    """Make sure that the bundled model lies in the cache, and return its folder. Raises `ModelError`.

    One that is damaged is made anew; `thorough` looks at more of it than a start has time for.
    """
    from assistant.models.pocket import assemble

    try:
        return assemble.ensure(settings.cache_dir, progress, thorough=thorough)
    except OSError as error:
        raise ModelError(
            f"The bundled model cannot be put together in {settings.cache_dir}: {error.strerror or error}. "
            "Make room there, or name another folder with PARLEY_CACHE_DIR."
        ) from error


def build_ears(settings: "Settings", progress: Progress = no_progress) -> "SpeechToText":
    """Load the Whisper that `settings` ask for, fetching and assembling it first where that is needed.

    Blocks for a second, and on first use for as long as the download takes. Raises `ModelError`, `VoiceError`, and
    `ConfigError` for a Whisper there is not or a language it does not know.
    """
    from voice.stt.whisper import Whisper, unknown_language

    if settings.whisper in EMBEDDED_WHISPERS:
        source = str(assemble_whisper(settings, progress))
    else:
        source = settings.whisper
        # One of the hub's is fetched meanwhile, without a word from those who fetch it.
        progress(f"loading Whisper {Path(source).name}", 0, 0)
    ears = Whisper.load(source, device=settings.device)
    if settings.language not in ("auto", *ears.languages):
        raise ConfigError(unknown_language(settings.language, ears.languages))
    return ears


def assemble_whisper(settings: "Settings", progress: Progress = no_progress, *, thorough: bool = False) -> Path:
    """Like `assemble_pocket`, for the bundled Whisper."""
    from voice.stt import whisper_weights

    try:
        return whisper_weights.ensure(settings.cache_dir, progress, thorough=thorough)
    except OSError as error:
        raise ModelError(
            f"The bundled Whisper cannot be put together in {settings.cache_dir}: {error.strerror or error}. "
            "Make room there, or name another folder with PARLEY_CACHE_DIR."
        ) from error


def build_judge(settings: "Settings", progress: Progress = no_progress, note: OnNotice = no_notice) -> "Judge | None":
    """What hears whether somebody is done speaking; None where it cannot be had, which `note` is told.

    Blocks like `build_ears`.
    """
    from voice.turns import smart_turn

    try:
        return smart_turn.SmartTurn.load(smart_turn.fetch_embedded(settings.cache_dir, progress))
    except (ModelError, VoiceError) as error:
        note(f"{error} Until then silence decides when a turn is over.")
        return None


def build_voice_reader(settings: "Settings", progress: Progress = no_progress) -> "VoiceReader":
    """What tells emotions from voices, with the encoder it learned on: that of the bundled Whisper, on the processor.

    Blocks like `build_ears`. Raises `ModelError` and `VoiceError`.
    """
    from skills.emotions.voice import VoiceReader
    from voice.stt.whisper import Whisper, find_speech

    whisper = Whisper.load(str(assemble_whisper(settings, progress)), device="cpu")
    return VoiceReader(whisper.encode, find_speech)


def build_feel(settings: "Settings") -> "Feel":
    """What tells how somebody seems to feel who is listened to; nothing is loaded yet."""
    return _Feeling(settings)


def build_mouth(settings: "Settings", progress: Progress = no_progress, note: OnNotice = no_notice) -> "TextToSpeech":
    """Load the voice that `settings` ask for, fetching it first where that is needed.

    "auto" is a fast voice of Coqui's on a GPU, and else the bundled one, both of which speak English, as far as their
    packages are installed; without them, and for any other language that is set, espeak-ng. `note` hears why it is
    not Coqui's. Blocks like `build_ears`. Raises `ModelError`, `VoiceError`, `MissingExtraError`, and
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
            note(f"{error} Until then another voice speaks.")
    if settings.voice.endswith(".onnx"):
        return piper.Piper.load(Path(settings.voice))
    if settings.voice == "piper" or (settings.voice == "auto" and english and piper.is_installed()):
        return piper.Piper.load(piper.fetch_embedded(settings.cache_dir, progress))
    if kind == "espeak" or settings.voice == "auto":
        return Espeak.load(which or ("en-us" if english else settings.language))
    if kind == "xtts":
        from voice.tts import xtts

        # Before a package, a licence and a download are asked for.
        xtts.named_recording(which)
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


def build_call(settings: "Settings", progress: Progress = no_progress) -> "Call":
    """All for a spoken conversation but what answers.

    Blocks like `build_ears`. Raises what that and `build_mouth` do, and `VoiceError` where there is no microphone or no
    speaker, before anything is fetched or loaded.
    """
    from voice.audio.devices import choose
    from voice.audio.streams import Microphone, Playback
    from voice.voice_session import Call

    choose(settings.speaker, "output")
    microphone = Microphone(settings.microphone)
    notices: list[str] = []
    mouth = build_mouth(settings, progress, notices.append)
    return Call(
        build_ears(settings, progress),
        mouth,
        microphone,
        Playback(mouth.sample_rate, settings.speaker),
        judge=build_judge(settings, progress, notices.append),
        feel=build_feel(settings) if settings.empathy else None,
        # The first conversation tells them.
        notices=notices,
        language=None if settings.language == "auto" else settings.language,
        headphones=settings.headphones,
        log=settings.call_log,
        keep_audio=settings.keep_audio,
    )


def open_history(settings: "Settings") -> "History":
    """The conversations kept on this machine."""
    from assistant.history.store import History

    return History(settings.data_dir / "history.sqlite3")


def find_conversation(history: "History", beginning: str | None) -> str:
    """The id that starts with `beginning`, or of the latest conversation. Raises `HistoryError` if there is none."""
    if beginning is not None:
        return history.find(beginning)
    latest = history.latest()
    if latest is None:
        raise HistoryError("There is no conversation to continue yet: start one without --continue.")
    return latest


def build_session(
    settings: "Settings", model: ChatModel, history: "History", *, resume: str | None = None, keep: bool = True
) -> Session:
    """A conversation with `model`: a new one, or the one in `history` whose id is `resume`.

    Messages like "/caption" are answered by skills. Its turns are kept in `history`, or without `keep` in memory only.
    Instructions in `settings` stand in for those of the resumed conversation. Raises `HistoryError` if that cannot be
    read.
    """
    from skills.slash_commands import SkillCalls

    if resume is None:
        conversation, earlier = history.create(model.info.name, settings.system), list[Message]()
    else:
        conversation, earlier = history.load(resume)
    instructions = settings.system or conversation.system
    session = Session(
        model,
        options=GenerationOptions(settings.max_tokens, settings.temperature, settings.seed),
        system=system(instructions) if instructions else None,
        messages=earlier,
        store=conversation if keep else None,
        notices=history.notices,
        # Asked at each call, because a session can change its model.
        divert=SkillCalls(lambda: session.model, senses(settings, chat=lambda: session.model), load_sound),
        models=Models(settings, history.notices.append),
        chosen=settings.model,
    )
    return session
