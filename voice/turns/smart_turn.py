"""Smart Turn hears whether somebody is done: by melody, drawn-out words and fillers, in 23 languages.

The network (Whisper tiny's encoder with a small head, 8 bits, BSD-2-Clause, by Daily) comes out of the wheel of
`pipecat-ai`, and is given what that gives it: the log-mel spectrogram of the last eight seconds, silence before them,
after the waveform was brought to zero mean and unit variance.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import VoiceError
from assistant.progress import Progress
from assistant.wheel_assets import WheelAsset, fetch
from voice.audio.types import SAMPLE_RATE

if TYPE_CHECKING:
    from voice.audio.types import Samples

SMART_TURN = WheelAsset(
    "pipecat-ai",
    "1.14.0",
    wheel_sha256="0352f504b44e78bdf524e45af4bc759601c835b9b7dc195efe5e03384b974a44",
    member="pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx",
    sha256="2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f",
    size=8_679_182,
    title="Smart Turn, which hears who is done",
)

_SECONDS = 8
_SAMPLES = _SECONDS * SAMPLE_RATE


class SmartTurn:
    """The loaded network: how likely somebody is done, in [0, 1]. Not thread-safe; a call takes 30 to 100 ms."""

    def __init__(self, session: Any) -> None:
        from faster_whisper.feature_extractor import FeatureExtractor

        self._session = session
        self._spectrogram: Any = FeatureExtractor(chunk_length=_SECONDS)

    @classmethod
    def load(cls, model: Path) -> "SmartTurn":
        """Load the network from its .onnx file. Raises `VoiceError` for a file that is none."""
        import onnxruntime
        from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidProtobuf, NoSuchFile

        options = onnxruntime.SessionOptions()
        # Whisper works beside it, and has the other cores.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            return cls(onnxruntime.InferenceSession(str(model), options))
        except (Fail, InvalidProtobuf, NoSuchFile) as error:
            raise VoiceError(
                f"{model} is not Smart Turn, or is damaged: delete it, and it is fetched again."
            ) from error

    def __call__(self, samples: "Samples") -> float:
        """The probability that whoever speaks in these samples, up to their pause at the end, is done."""
        features = self._spectrogram(_prepared(samples), padding=0)
        (done,) = self._session.run(None, {"input_features": features[None]})
        return float(done[0, 0])


def _prepared(samples: "Samples") -> "Samples":
    import numpy as np

    last = samples[-_SAMPLES:]
    heard = np.concatenate([np.zeros(_SAMPLES - last.size, np.float32), last])
    even: Samples = ((heard - heard.mean()) / np.sqrt(heard.var() + 1e-7)).astype(np.float32)
    return even


def fetch_bundled(cache_dir: Path, progress: Progress) -> Path:
    """The .onnx file under `cache_dir`, fetched first if need be. Raises `ModelError`."""
    return fetch(SMART_TURN, cache_dir, progress)
