"""Damaged, odd and hostile recordings, decoded and mixed as `parley transcribe` does, in a process that may die."""

import faulthandler
import io
import multiprocessing
import random
import resource
import struct
from collections.abc import Iterator
from functools import cache
from multiprocessing.connection import Connection

import av
import numpy as np
import pytest

from assistant.errors import ParleyError, VoiceError
from assistant.progress import no_progress
from tests.fakes.tone_recognizer import ToneRecognizer
from tests.fuzz.harness import MAX_BYTES, MAX_SECS, fuzz, mutate_bytes

pytestmark = pytest.mark.slow

FORMATS = (
    *(("wav", codec) for codec in ("pcm_s16le", "pcm_u8", "pcm_s24le", "pcm_f32le", "pcm_f64le", "pcm_mulaw",
                                   "pcm_alaw", "adpcm_ms", "adpcm_ima_wav")),
    ("flac", "flac"), ("ogg", "libopus"), ("ogg", "libvorbis"), ("ogg", "flac"), ("mp3", "libmp3lame"),
    ("mp4", "aac"), ("mov", "alac"), ("mov", "pcm_s16be"), ("ipod", "aac"), ("3gp", "aac"), ("matroska", "libopus"),
    ("matroska", "flac"), ("matroska", "pcm_s16le"), ("webm", "libopus"), ("aiff", "pcm_s16be"), ("au", "pcm_s16be"),
    ("caf", "pcm_s16be"), ("caf", "alac"), ("asf", "wmav2"), ("ac3", "ac3"), ("eac3", "eac3"), ("adts", "aac"),
    ("avi", "mp2"), ("avi", "pcm_s16le"), ("mpegts", "mp2"), ("mpegts", "aac"), ("flv", "libmp3lame"), ("tta", "tta"),
    ("wv", "wavpack"), ("voc", "pcm_u8"), ("w64", "pcm_s16le"), ("rm", "ac3"), ("nut", "pcm_s16le"), ("dts", "dca"),
    ("mp2", "mp2"), ("swf", "libmp3lame"), ("ircam", "pcm_s16le"), ("sox", "pcm_s32le"), ("g722", "g722"),
)  # fmt: skip


@cache
def valid_files() -> tuple[bytes, ...]:
    """Return short recordings in every format and codec that PyAV can write here."""
    files = [
        file for container, codec in FORMATS for channels in (1, 2) if (file := _encode(container, codec, channels))
    ]
    assert len(files) > 20
    return tuple(files)


def _encode(container: str, codec: str, channels: int) -> bytes:
    """Return a third of a second of noise; nothing if PyAV cannot write the format."""
    buffer = io.BytesIO()
    rate = 48_000 if codec in ("libopus", "dca", "ac3", "eac3") else 44_100
    noise = np.random.default_rng(channels).normal(0, 0.1, (channels, rate // 3)).astype(np.float32)
    layout = ("mono", "stereo")[channels - 1]
    try:
        with av.open(buffer, "w", format=container) as output:
            stream = output.add_stream(codec, rate=rate)
            assert isinstance(stream, av.AudioStream)
            stream.layout = layout
            stream.codec_context.open()
            size = stream.codec_context.frame_size or 1024
            for start in range(0, noise.shape[1] - size, size):
                piece = np.ascontiguousarray(noise[:, start : start + size])
                frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=layout)
                frame.sample_rate, frame.pts = rate, start
                for packet in stream.encode(frame):
                    output.mux(packet)
            for packet in stream.encode(None):
                output.mux(packet)
    except (av.error.FFmpegError, ValueError, OSError):
        return b""
    return buffer.getvalue()


def make_file(rng: random.Random) -> bytes:
    kind = rng.random()
    if kind < 0.65:
        return mutate_bytes(rng, rng.choice(valid_files()), 30)
    if kind < 0.7:
        file = rng.choice(valid_files())
        return file[: rng.randrange(len(file))]
    if kind < 0.75:
        first, second = rng.choice(valid_files()), rng.choice(valid_files())
        return first[: rng.randrange(len(first) + 1)] + second[rng.randrange(len(second)) :]
    if kind < 0.8:
        return rng.choice(valid_files())[: rng.randrange(4, 64)] + rng.randbytes(rng.randrange(4_000))
    return _odd_wave(rng)


def _odd_wave(rng: random.Random) -> bytes:
    """Return a WAV file with an odd header: a kilobyte that claims hours, or four billion channels."""

    def odd(usual: int, bits: int) -> int:
        extremes = (0, 1, 2, 2**bits - 1, 2 ** (bits - 1), 2 ** (bits - 1) - 1, rng.randrange(2**bits))
        return usual if rng.random() < 0.6 else rng.choice(extremes)

    data = rng.randbytes(rng.choice((0, 1, 100, 1_000, 20_000)))
    form = struct.pack(
        "<HHIIHH",
        odd(rng.choice((1, 3, 6, 7, 2, 0x11, 0x55, 0xFFFE)), 16),
        odd(rng.choice((1, 2, 6, 64)), 16),
        odd(rng.choice((8_000, 44_100, 1_000, 999, 384_000, 1_600_000)), 32),
        odd(88_200, 32),
        odd(2, 16),
        odd(rng.choice((8, 16, 24, 32, 64)), 16),
    ) + rng.randbytes(rng.choice((0, 2, 24)))
    junk = struct.pack("<4sI", rng.choice((b"LIST", b"JUNK", b"\xff\0\xff\0")), odd(4, 32)) + b"abcd"
    head = struct.pack("<4sI", b"fmt ", odd(len(form), 32)) + form
    body = struct.pack("<4sI", b"data", odd(len(data), 32)) + data
    chunks = [head, *([junk] if rng.random() < 0.3 else []), body]
    if rng.random() < 0.1:
        rng.shuffle(chunks)
    content = b"".join(chunks)
    begin = rng.choice((b"RIFF", b"RIFF", b"RIFF", b"RF64", b"RIFX"))
    return struct.pack("<4sI4s", begin, odd(len(content) + 4, 32), b"WAVE") + content


class Decoder:
    """A process that decodes files. It is started again after it died."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._start()

    def _start(self) -> None:
        self._connection, other = self._context.Pipe()
        self._process = self._context.Process(target=_decode_files, args=(other,), daemon=True)
        self._process.start()
        other.close()
        assert self._connection.poll(120)
        self._connection.recv()

    def decode(self, data: bytes) -> None:
        """Decode a file. Raises `VoiceError` as the decoder does, and `AssertionError` if the process died or hung."""
        self._connection.send(data)
        try:
            assert self._connection.poll(MAX_SECS + 20), "it does not end"
            error, growth = self._connection.recv()
        except (EOFError, ConnectionError, AssertionError) as failure:
            self._process.kill()
            self._process.join()
            code = self._process.exitcode
            self._start()
            raise AssertionError(f"the decoder died with exit code {code}, or hung") from failure
        assert growth < MAX_BYTES, f"it took {growth / 1e9:.1f} GB"
        if isinstance(error, ParleyError):
            raise error
        assert error is None, error

    def close(self) -> None:
        self._process.kill()
        self._process.join()


def _decode_files(connection: Connection) -> None:
    """Decode each file that arrives; send the error, or None, and by how many bytes the peak memory grew."""
    from voice.audio.decode import open_audio
    from voice.stt import channels
    from voice.stt.long_form import transcribe

    faulthandler.enable()
    # Silero is not what is tried here.
    channels.find_speech_frames = lambda samples: np.abs(samples[::512]) > 0.05
    connection.send("ready")
    while True:
        data = connection.recv()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        error: object = None
        try:
            with open_audio(io.BytesIO(data), "odd.wav") as audio:
                for _ in transcribe(ToneRecognizer(), audio, no_progress):
                    pass
                assert isinstance(audio.damage(), str)
        except ParleyError as failure:
            error = VoiceError(str(failure))
        except Exception as failure:  # noqa: BLE001 - the fault that is looked for
            error = f"{type(failure).__name__}: {failure}"
        connection.send((error, 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)))


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    process = Decoder()
    yield process
    process.close()


def test_every_recording_is_decoded_or_refused_in_a_sentence(decoder: Decoder) -> None:
    fuzz("audio", make_file, decoder.decode)


def test_the_decoder_of_this_test_notices_a_crash(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill_first(_: float) -> bool:
        decoder._process.kill()
        return False

    monkeypatch.setattr(decoder._connection, "poll", kill_first)
    with pytest.raises(AssertionError, match="died with exit code"):
        decoder.decode(b"anything")
    monkeypatch.undo()
    with pytest.raises(VoiceError):
        decoder.decode(b"anything")
