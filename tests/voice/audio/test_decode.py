"""Audio files: every format becomes the same samples, and what is no audio file is an error of one sentence."""

import io
import os
import re
import struct
import threading
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from assistant.errors import VoiceError
from tests.fakes.audio import Floats, WriteWave, stereo_bytes, tone, two_tracks, wave_bytes
from voice.audio.decode import open_audio


def decode(source: Path | io.BytesIO) -> Floats:
    with open_audio(source) as audio:
        return np.concatenate([np.zeros(0, np.float32), *audio.blocks()])


def encode(path: Path, codec: str, samples: Floats, rate: int) -> Path:
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=rate)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(samples.astype(np.float32)[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return path


def tone_share(samples: Floats, hertz: float) -> float:
    """Return how much of the energy is a tone of that frequency, from 0 to 1."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size))) ** 2
    middle = round(hertz * samples.size / 16_000)
    return float(spectrum[max(0, middle - 4) : middle + 5].sum() / spectrum.sum())


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 192_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_rate_and_number_of_channels_is_decoded(rate: int, channels: int, write_wave: WriteWave) -> None:
    samples = decode(write_wave("tone.wav", tone(1.0, rate), rate, channels))
    assert abs(samples.size - 16_000) <= 32
    assert samples.dtype == np.float32
    assert tone_share(samples, 440) > 0.99
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize(("suffix", "codec"), [("mp3", "mp3"), ("ogg", "libopus"), ("flac", "flac"), ("m4a", "aac")])
def test_any_format_is_decoded(suffix: str, codec: str, tmp_path: Path) -> None:
    path = encode(tmp_path / f"tone.{suffix}", codec, tone(1.0, 48_000), 48_000)
    samples = decode(path)
    assert abs(samples.size - 16_000) <= 1_600
    assert tone_share(samples[1_000:15_000], 440) > 0.98


def test_a_stream_that_cannot_seek_gives_the_same_samples(write_wave: WriteWave) -> None:
    path = write_wave("tone.wav", tone(0.5))

    class Pipe(io.BytesIO):
        def seek(self, *_: int) -> int:
            raise OSError("a pipe")

    np.testing.assert_array_equal(decode(Pipe(path.read_bytes())), decode(path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_gives_the_same_samples(write_wave: WriteWave, tmp_path: Path) -> None:
    path = write_wave("tone.wav", tone(0.5))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(path.read_bytes(),))
    writer.start()
    np.testing.assert_array_equal(decode(pipe), decode(path))
    writer.join()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_an_empty_named_pipe_is_an_error(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"",))
    writer.start()
    with pytest.raises(VoiceError, match="pipe is empty"):
        decode(pipe)
    writer.join()


def test_samples_beyond_full_scale_and_nan_are_limited(tmp_path: Path) -> None:
    data = np.array([0.5, 7.0, -7.0, np.nan, np.inf, -np.inf] * 2_000, "<f4").tobytes()
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 1, 16_000, 64_000, 4, 32)
    header = struct.pack("<4sI4s", b"RIFF", 36 + len(data), b"WAVE") + form + struct.pack("<4sI", b"data", len(data))
    path = tmp_path / "wild.wav"
    path.write_bytes(header + data)
    samples = decode(path)
    assert samples.size == 12_000
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() <= 1.0


def test_audio_before_the_damage_is_decoded(tmp_path: Path) -> None:
    path = encode(tmp_path / "half.flac", "flac", tone(4.0), 16_000)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    path.write_bytes(data)
    with open_audio(path) as audio:
        count = sum(block.size for block in audio.blocks())
        assert 16_000 <= count < 64_000
        assert re.search(r"half\.flac is damaged or cut short: only \d of its 4 seconds", audio.damage())


def test_an_empty_track_has_no_samples(write_wave: WriteWave) -> None:
    assert decode(write_wave("nothing.wav", np.zeros(0))).size == 0


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("empty.wav", b"", "empty.wav is empty"),
        ("notes.txt", b"Nothing to hear here.\n" * 50, "notes.txt is not an audio|notes.txt contains no audio"),
        ("noise.bin", bytes(range(256)) * 40, "noise.bin is not an audio|noise.bin contains no audio"),
        ("cut.wav", wave_bytes(tone(1.0))[:20], "cut.wav is damaged or cut short"),
        ("cut.ogg", b"OggS" + bytes(40), "cut.ogg is damaged or cut short"),
        ("notes.wav", b"Nothing to hear here.\n" * 50, "notes.wav is not an audio|notes.wav contains no audio"),
    ],
)
def test_a_file_that_is_no_audio_is_an_error(name: str, data: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(VoiceError, match=message):
        decode(write(tmp_path / name, data))


def test_an_image_has_no_audio(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32), "red").save(tmp_path / "dog.png")
    with pytest.raises(VoiceError, match="contains no audio"):
        decode(tmp_path / "dog.png")


def test_missing_files_and_folders_are_errors(tmp_path: Path) -> None:
    with pytest.raises(VoiceError, match=r"no file .*gone\.wav: check the path"):
        decode(tmp_path / "gone.wav")
    with pytest.raises(VoiceError, match="is a folder"):
        decode(tmp_path)


@pytest.mark.parametrize("kind", ["m3u8", "ffconcat"])
def test_a_playlist_cannot_read_other_files(kind: str, tmp_path: Path, write_wave: WriteWave) -> None:
    secret = write_wave("secret.wav", tone(1.0))
    text = {
        "m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{secret}\n#EXT-X-ENDLIST\n",
        "ffconcat": f"ffconcat version 1.0\nfile {secret}\n",
    }[kind]
    with pytest.raises(VoiceError):
        decode(write(tmp_path / f"list.{kind}", text.encode()))


# What was cut off, copied badly, or protected


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [("wav", "pcm_s16le"), ("flac", "flac"), ("ogg", "libopus"), ("mka", "libopus"), ("mp3", "mp3")],
)
def test_half_a_file_gives_half_of_its_audio_and_a_notice(suffix: str, codec: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 8 * 48_000)
    path = encode(tmp_path / f"noise.{suffix}", codec, noise, 48_000)
    with open_audio(path) as audio:
        assert sum(block.size for block in audio.blocks()) > 7.5 * 16_000
        assert audio.damage() == ""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with open_audio(path) as audio:
        assert 2 * 16_000 < sum(block.size for block in audio.blocks()) < 6 * 16_000
        assert "is damaged or cut short" in audio.damage()


def test_what_was_not_read_is_not_called_missing(write_wave: WriteWave) -> None:
    with open_audio(write_wave("long.wav", tone(90.0))) as audio:
        assert next(audio.blocks()).size < 60 * 16_000
        assert audio.damage() == ""


def test_a_cut_m4a_is_called_damaged(tmp_path: Path) -> None:
    path = encode(tmp_path / "song.m4a", "aac", tone(2.0, 48_000), 48_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(VoiceError, match=r"song\.m4a is damaged or cut short: fetch or record it again"):
        decode(path)


@pytest.mark.parametrize("tag", [b"drms", b"enca"])
def test_protected_music_is_refused_with_the_reason(tag: bytes, tmp_path: Path) -> None:
    path = encode(tmp_path / "song.m4a", "aac", tone(1.0, 48_000), 48_000)
    path.write_bytes(path.read_bytes().replace(b"mp4a", tag))
    with pytest.raises(VoiceError, match="protected against copying"):
        decode(path)


def wave_header(data: bytes, *, rate: int = 16_000, channels: int = 1, length: int | None = None) -> bytes:
    """Return a WAV file whose header may lie."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * channels * 2 % 2**32, channels * 2, 16)
    size = len(data) if length is None else length
    return struct.pack("<4sI4s", b"RIFF", 36 + len(data), b"WAVE") + form + struct.pack("<4sI", b"data", size) + data


@pytest.mark.parametrize("length", [0, 16_000, 0x7FFFFFFF, 0xFFFFFFFF], ids=["none", "half a second", "max", "unknown"])
def test_all_audio_of_a_wav_file_is_read_whatever_length_it_states(length: int, tmp_path: Path) -> None:
    data = (tone(3.0) * 32767).astype("<i2").tobytes()
    with open_audio(write(tmp_path / "streamed.wav", wave_header(data, length=length))) as audio:
        assert sum(block.size for block in audio.blocks()) == 3 * 16_000
        assert audio.damage() == ""


def test_a_title_after_the_audio_is_not_heard(tmp_path: Path) -> None:
    data = (tone(1.0) * 32767).astype("<i2").tobytes()
    title = b"LIST" + (60_000).to_bytes(4, "little") + b"INFO" + b"x" * 59_996
    assert decode(write(tmp_path / "a.wav", wave_header(data) + title)).size == 16_000


@pytest.mark.parametrize("rate", [0, 1, 900, 2_000_000, 4_000_000_000])
def test_impossible_sample_rates_are_refused(rate: int, tmp_path: Path) -> None:
    with pytest.raises(VoiceError, match=r"damaged|impossible"):
        decode(write(tmp_path / "odd.wav", wave_header(bytes(4_000), rate=rate)))


# Channels and tracks


def test_channels_that_are_each_others_opposite_are_heard(tmp_path: Path) -> None:
    sound = tone(2.0)
    samples = decode(write(tmp_path / "a.wav", stereo_bytes(sound, -sound)))
    assert tone_share(samples, 440) > 0.99
    assert np.abs(samples).max() > 0.3


@pytest.mark.parametrize("silent", [0, 1])
def test_a_silent_channel_does_not_make_the_other_quieter(silent: int, tmp_path: Path) -> None:
    left, right = (np.zeros(16_000) if number == silent else tone(1.0) for number in range(2))
    assert np.abs(decode(write(tmp_path / "a.wav", stereo_bytes(left, right)))).max() > 0.45


@pytest.mark.parametrize("gain", [1e-4, 0.002, 1.0])
def test_quiet_audio_with_an_offset_is_amplified(gain: float, tmp_path: Path) -> None:
    # As float, in which the quietest audio has all its bits.
    data = (tone(1.0) * gain + 0.4).astype("<f4").tobytes()
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 1, 16_000, 64_000, 4, 32)
    header = struct.pack("<4sI4s", b"RIFF", 36 + len(data), b"WAVE") + form + struct.pack("<4sI", b"data", len(data))
    samples = decode(write(tmp_path / "quiet.wav", header + data))
    assert np.abs(samples).max() > 0.05
    assert abs(samples.mean()) < 0.001


def test_a_named_track_must_exist(write_wave: WriteWave) -> None:
    with (
        pytest.raises(VoiceError, match=r"has no audio track 2: it has one audio track"),
        open_audio(write_wave("a.wav", tone(1.0)), track=2),
    ):
        pass


def test_the_next_track_is_decoded_from_its_beginning(tmp_path: Path) -> None:
    path = two_tracks(tmp_path / "two.mka", np.zeros(16_000), tone(2.0))
    with open_audio(path) as audio:
        assert audio.tracks == (1, 2)
        assert not np.concatenate(list(audio.blocks())).any()
        assert audio.use_next_track()
        assert tone_share(np.concatenate(list(audio.blocks())), 440) > 0.9
        assert not audio.use_next_track()
