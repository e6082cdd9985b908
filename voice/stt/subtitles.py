"""Transcripts as subtitles: SubRip (.srt) and WebVTT (.vtt), written piece by piece."""

from voice.stt.base import Segment

VTT_HEADER = "WEBVTT\n\n"


def srt(number: int, segment: Segment) -> str:
    """The `number`-th entry of a SubRip file, counted from 1."""
    return f"{number}\n{_clock(segment.start, ',')} --> {_clock(segment.end, ',')}\n{segment.text}\n\n"


def vtt(segment: Segment) -> str:
    """One cue of a WebVTT file, to stand after `VTT_HEADER`."""
    # Only these three mean something there; an arrow would end the cue's text.
    text = segment.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"{_clock(segment.start, '.')} --> {_clock(segment.end, '.')}\n{text}\n\n"


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, milliseconds = divmod(milliseconds, 1000)
    return f"{hours:02}:{minutes:02}:{whole:02}{point}{milliseconds:03}"
