"""Subtitles as players read them: parsed again by FFmpeg, which knows both formats."""

from pathlib import Path

import av
import pytest

from voice.stt.base import Segment
from voice.stt.subtitles import VTT_HEADER, srt, vtt

SEGMENTS = (
    Segment("Hello, <b>you</b> & me --> there.", 0.0, 1.25),
    Segment("Zwei Stunden später.", 7325.0004, 7326.9996),
)


def parse(path: Path) -> list[tuple[float, float, str]]:
    """Return (start, duration, text) of each subtitle, in seconds."""
    with av.open(path) as container:
        stream = container.streams.subtitles[0]
        return [
            (float(packet.pts * packet.time_base), float(packet.duration * packet.time_base), bytes(packet).decode())
            for packet in container.demux(stream)
            if packet.pts is not None and packet.duration is not None
        ]


@pytest.mark.parametrize("form", ["srt", "vtt"])
def test_players_read_times_and_words(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"talk.{form}"
    entries = [srt(number, segment) if form == "srt" else vtt(segment) for number, segment in enumerate(SEGMENTS, 1)]
    path.write_text((VTT_HEADER if form == "vtt" else "") + "".join(entries), encoding="utf-8")
    first, second = parse(path)
    assert first[:2] == pytest.approx((0.0, 1.25))
    assert second[:2] == pytest.approx((7325.0, 2.0), abs=1e-3)
    assert second[2] == "Zwei Stunden später."
    assert "<b>" not in first[2] if form == "vtt" else first[2] == SEGMENTS[0].text
