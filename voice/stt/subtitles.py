"""Format transcripts as subtitles: SubRip (.srt) and WebVTT (.vtt), one entry at a time."""

from voice.stt.base import Segment

VTT_HEADER = "WEBVTT\n\n"


def srt(number: int, segment: Segment) -> str:
    """Format entry `number`, counted from 1, of a SubRip file."""
    return f"{number}\n{_timestamp(segment.start, ',')} --> {_timestamp(segment.end, ',')}\n{segment.text}\n\n"


def vtt(segment: Segment) -> str:
    """Format one cue of a WebVTT file, which begins with `VTT_HEADER`."""
    # WebVTT escapes only these three; an arrow in the text would end the cue.
    text = segment.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"{_timestamp(segment.start, '.')} --> {_timestamp(segment.end, '.')}\n{text}\n\n"


def _timestamp(seconds: float, decimal_point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    full_seconds, milliseconds = divmod(milliseconds, 1000)
    return f"{hours:02}:{minutes:02}:{full_seconds:02}{decimal_point}{milliseconds:03}"
