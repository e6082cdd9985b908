"""Smart Turn, the end-of-turn model: hears melody, drawn-out words and fillers, in 23 languages.

The network (Whisper tiny's encoder with a small head, 8 bits, BSD-2-Clause, by Daily) comes from the wheel of
`pipecat-ai`. Its input is computed as there: the waveform's last eight seconds, padded with silence in front and
normalised to zero mean and unit variance, as a log-mel spectrogram.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import VoiceError
from assistant.progress import Progress
from assistant.wheels import WheelAsset, fetch
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
    title="Smart Turn, the end-of-turn model",
)

_SECONDS = 8
_SAMPLES = _SECONDS * SAMPLE_RATE

_REPEATED_SECONDS = 0.1
"""Length of the end of a pause that is repeated behind it: the network is surer behind 0.3 s than behind the 0.2 s
after which it is asked.

Of 41 sentences of five actors, 88 % sound complete (0.5 or more) with it and 85 % without; of their beginnings, cut off
in the middle, 71 % and 78 %. With 0.2 s it is 93 % and 85 %.
"""


class SmartTurn:
    """The loaded network. Not thread-safe; a call takes 30 to 100 ms."""

    def __init__(self, session: Any) -> None:
        """Wrap an ONNX Runtime session of the network."""
        from faster_whisper.feature_extractor import FeatureExtractor

        self._session = session
        self._extract_features: Any = FeatureExtractor(chunk_length=_SECONDS)

    @classmethod
    def load(cls, model: Path) -> "SmartTurn":
        """Load the network from its .onnx file. Raises `VoiceError` if the file is missing or damaged."""
        import onnxruntime
        from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidProtobuf, NoSuchFile

        options = onnxruntime.SessionOptions()
        # The other cores are left to Whisper, which runs at the same time.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            return cls(onnxruntime.InferenceSession(str(model), options))
        except (Fail, InvalidProtobuf, NoSuchFile) as error:
            raise VoiceError(
                f"{model} is not Smart Turn, or is damaged: delete it, and it is fetched again."
            ) from error

    def __call__(self, samples: "Samples") -> float:
        """Return the probability in [0, 1] that the turn in `samples`, which end in a pause, is complete."""
        features = self._extract_features(_normalized(_prolonged(samples)), padding=0)
        (probability,) = self._session.run(None, {"input_features": features[None]})
        return float(probability[0, 0])


def _prolonged(samples: "Samples") -> "Samples":
    """Return samples that end in a pause with a longer one."""
    import numpy as np

    # Backwards, so that there is no step in it.
    return np.concatenate([samples, samples[::-1][: round(_REPEATED_SECONDS * SAMPLE_RATE)]])


def _normalized(samples: "Samples") -> "Samples":
    """Return the last eight seconds, padded with silence in front, with zero mean and unit variance."""
    import numpy as np

    last = samples[-_SAMPLES:]
    padded = np.concatenate([np.zeros(_SAMPLES - last.size, np.float32), last])
    normalized: Samples = ((padded - padded.mean()) / np.sqrt(padded.var() + 1e-7)).astype(np.float32)
    return normalized


def fetch_bundled(cache_dir: Path, progress: Progress) -> Path:
    """Return the .onnx file in `cache_dir`, and download it first if needed. Raises `ModelError`."""
    return fetch(SMART_TURN, cache_dir, progress)
