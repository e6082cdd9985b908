"""Build the models behind the emotion skill and the empathy mode of voice."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from assistant.errors import ModelError
from assistant.models.base import ChatModel, vision_model_of
from assistant.progress import OnNotice, Progress, no_notice, no_progress
from parley.factory.bundled import POCKET_SMALL
from parley.factory.models import build_model, for_skills
from parley.factory.voice import assemble_whisper

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image
    from numpy.typing import NDArray

    from assistant.settings import Settings
    from skills.emotions.face import FaceEmotionClassifier
    from skills.emotions.face_boxes import Face, FaceDetector
    from skills.emotions.speaker_baseline import SpeakerBaseline
    from skills.emotions.voice import VocalEmotion, VoiceEmotionClassifier
    from skills.vision_model import VisionClient
    from voice.emotion import DetectedEmotion, EmotionDetector

ProgressDisplay = Callable[[], AbstractContextManager[Progress]]
"""Opens a display of progress for the time that a model takes to load."""


class EmotionBackends:
    """Models for the emotion skill, each loaded when it is first needed. Use from one thread at a time."""

    def __init__(
        self,
        settings: "Settings",
        *,
        chat_model: Callable[[], ChatModel | None] = lambda: None,
        progress_display: ProgressDisplay = lambda: nullcontext(no_progress),
        on_notice: OnNotice = no_notice,
    ) -> None:
        """Create the backends; nothing is loaded yet.

        Args:
            settings: Select the chat model. The other models are always the bundled ones.
            chat_model: Return the model of a running conversation, which is used instead of loading another; None while
                there is none.
            progress_display: Opened while a model loads.
            on_notice: As for `build_model`.
        """
        self._settings = settings
        # The classifiers were trained on the features of the bundled models.
        self._bundled_settings = settings.model_copy(
            update={"model": POCKET_SMALL, "backend": "local", "quantize": "auto"}
        )
        self._get_chat_model = chat_model
        self._progress_display = progress_display
        self._on_notice = on_notice
        self._chat_model: ChatModel | None = None
        self._text_model: ChatModel | None = None
        self._voice_model: VoiceEmotionClassifier | None = None
        self._face_model: FaceEmotionClassifier | None = None

    def model(self) -> "VisionClient":
        from skills.vision_model import VisionClient

        if (current := self._get_chat_model()) is not None:
            return VisionClient(current)
        if self._chat_model is None:
            with self._progress_display() as progress:
                self._chat_model = build_model(for_skills(self._settings), progress, self._on_notice)
        return VisionClient(self._chat_model)

    def hidden_states(self, pieces: Sequence[str], depths: Sequence[int]) -> "list[NDArray[np.float32]]":
        from assistant.models.base import HiddenStateModel

        model = self.text_model()
        assert isinstance(model, HiddenStateModel)
        return model.hidden_states(pieces, depths)

    def faces(self, image: "PIL.Image.Image") -> "list[Face]":
        if self._face_model is None:
            with self._progress_display() as progress:
                self._face_model = build_face_classifier(self._settings, progress, self._on_notice)
        return self._face_model.classify(image)

    def vocal_emotion(self, samples: "NDArray[np.float32]") -> "VocalEmotion | None":
        return self.voice_model().classify(samples)

    def load(self) -> None:
        """Load the models for text and voice now. Raises `ModelError` and `VoiceError`."""
        self.text_model()
        self.voice_model()

    def text_model(self) -> ChatModel:
        """Return the small bundled model: the conversation's if that has it, or one of its own."""
        current = self._get_chat_model()
        current = None if current is None else vision_model_of(current)
        if current is not None and current.info.bundled:
            if self._text_model is not None:
                # The conversation began after this one was loaded; one copy is enough (1.4 GB).
                self._text_model.close()
                self._text_model = None
            return current
        if self._text_model is None:
            with self._progress_display() as progress:
                self._text_model = build_model(self._bundled_settings, progress)
        return self._text_model

    def voice_model(self) -> "VoiceEmotionClassifier":
        """Return the classifier of vocal emotion."""
        if self._voice_model is None:
            with self._progress_display() as progress:
                self._voice_model = build_voice_emotion_classifier(self._bundled_settings, progress)
        return self._voice_model

    def close(self) -> None:
        """Free the models that were loaded here, but not the conversation's."""
        for model in (self._chat_model, self._text_model):
            if model is not None:
                model.close()
        self._chat_model = self._text_model = self._voice_model = self._face_model = None


def build_face_classifier(
    settings: "Settings", progress: Progress = no_progress, on_notice: OnNotice = no_notice
) -> "FaceEmotionClassifier":
    """Load the classifier of faces with the best detector that can be had; see `build_face_detector`."""
    from skills.emotions.face import FaceEmotionClassifier

    return FaceEmotionClassifier.load(build_face_detector(settings, progress, on_notice))


def build_face_detector(
    settings: "Settings", progress: Progress = no_progress, on_notice: OnNotice = no_notice
) -> "FaceDetector":
    """Load the best detector of faces that can be had.

    Where that one cannot be fetched, OpenCV's takes its place, and `on_notice` says so.
    """
    from skills.emotions.face_cascade import FaceCascade
    from skills.emotions.face_detectors import HaarDetector, MtcnnDetector
    from skills.emotions.face_weights import fetch_weights

    try:
        paths = fetch_weights(settings.cache_dir, progress)
    except ModelError as error:
        on_notice(f"{error} OpenCV looks for faces instead, and finds about half of them.")
        return HaarDetector()
    return MtcnnDetector(FaceCascade.load(paths))


def build_voice_emotion_classifier(settings: "Settings", progress: Progress = no_progress) -> "VoiceEmotionClassifier":
    """Load the classifier of vocal emotion with the encoder it was trained on: the bundled Whisper's, on the CPU.

    Blocks like `build_stt`. Raises `ModelError` and `VoiceError`.
    """
    from skills.emotions.voice import VoiceEmotionClassifier
    from voice.stt.whisper import Whisper, detect_speech

    whisper = Whisper.load(str(assemble_whisper(settings, progress)), device="cpu")
    return VoiceEmotionClassifier(whisper.encode, detect_speech)


def build_emotion_detector(settings: "Settings") -> "EmotionDetector":
    """Build the detector of the speaker's emotion for empathy mode. Nothing is loaded before its `prepare`."""
    return _EmotionDetector(settings)


class _EmotionDetector:
    """Implement `voice.emotion.EmotionDetector` with the classifiers of the emotion skill."""

    def __init__(self, settings: "Settings") -> None:
        self._model: ChatModel | None = None
        self._backends = EmotionBackends(settings, chat_model=self._current_model)
        self._baseline: SpeakerBaseline | None = None

    def prepare(self, model: ChatModel) -> None:
        from skills.emotions.speaker_baseline import SpeakerBaseline

        self._model = model
        self._backends.load()
        self._baseline = SpeakerBaseline(self._backends.voice_model(), self._backends.hidden_states)

    def detect(self, model: ChatModel, text: str, samples: "NDArray[np.float32]") -> "DetectedEmotion | None":
        from voice.emotion import DetectedEmotion

        assert self._baseline is not None
        self._model = model
        estimate, features = self._baseline.estimate(text, samples)
        emotion = None if estimate is None else DetectedEmotion.from_parts(*estimate)
        # Utterances in distress would shift the baseline they are compared with.
        if features is not None and not (emotion is not None and emotion.distress):
            self._baseline.update(features)
        return emotion

    def _current_model(self) -> ChatModel:
        assert self._model is not None
        return self._model
