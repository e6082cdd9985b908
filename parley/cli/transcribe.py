"""`parley transcribe`: what is said in recordings, as lines, JSON or subtitles."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import IO, TYPE_CHECKING, Any

import click

from assistant.errors import VoiceError
from assistant.progress import Progress, no_progress
from parley.cli.options import DeviceParam, load_settings
from parley.cli.progress import ProgressLine, format_duration
from parley.cli.terminal import decode_argument, notify, write_out

if TYPE_CHECKING:
    from assistant.settings import Settings
    from voice.audio.decode import AudioFile
    from voice.stt.base import Segment, SpeechToText, Transcript

Ears = Callable[[], "SpeechToText"]
"""Loads what listens, the first time it is called."""


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path())
@click.option("--json", "form", flag_value="json", help="Print one JSON object a file, with the times of words.")
@click.option("--srt", "form", flag_value="srt", help="Print SubRip subtitles.")
@click.option("--vtt", "form", flag_value="vtt", help="Print WebVTT subtitles.")
@click.option("--language", "-l", metavar="CODE", help="auto, or the language that is spoken: en, de, german, …")
@click.option("--whisper", metavar="MODEL", help="auto, base (the bundled one), a name, a folder or a hub id.")
@click.option("--device", type=DeviceParam(), help="auto, cpu, mps, cuda or cuda:1.")
@click.pass_context
def transcribe(ctx: click.Context, /, files: tuple[str, ...], form: str | None, **options: Any) -> None:
    """Write down what is said in each FILE.

    Any sound or video file will do. A `-` reads one from standard input. Lines are printed as they are understood.
    """
    if "" in files:
        raise click.UsageError("One of the paths is empty: name a recording.", ctx)
    if files.count("-") > 1:
        raise click.UsageError("Standard input holds one recording: give - once.", ctx)
    if form in ("srt", "vtt") and len(files) > 1:
        raise click.UsageError("Subtitles belong to one recording: give one FILE at a time.", ctx)
    settings = load_settings(ctx, options).settings
    ears = _loaded_once(settings)
    write = _WRITERS[form or "text"]
    well = True
    # On a terminal, lines that appear are progress enough, and a bar would run through them.
    with ProgressLine(format_duration) as bar:
        progress = no_progress if sys.stdout is not None and sys.stdout.isatty() else bar
        for number, file in enumerate(files):
            name = decode_argument(file)
            if len(files) > 1 and form is None:
                write_out(f"{'' if number == 0 else chr(10)}==> {name} <==\n")
            try:
                with _opened(file, name) as recording:
                    write(recording, _transcripts(recording, ears, settings, progress))
                    if recording.decode_errors:
                        notify(f"{name} is damaged: some of its sound could not be decoded and was left out.")
            except VoiceError as error:
                well = False
                notify(str(error))
    if not well:
        ctx.exit(1)


def _loaded_once(settings: "Settings") -> Ears:
    loaded: list[SpeechToText] = []

    def ears() -> "SpeechToText":
        # Not before a recording is there to be heard: a mistyped path costs no download.
        if not loaded:
            from parley.factory.voice import build_stt

            with ProgressLine() as progress:
                loaded.append(build_stt(settings, progress))
        return loaded[0]

    return ears


def _opened(file: str, name: str) -> "AbstractContextManager[AudioFile]":
    from voice.audio.decode import open_audio

    if file != "-":
        return open_audio(file, name)
    stream: IO[bytes] | None = sys.stdin.buffer if sys.stdin else None
    if stream is None:
        raise VoiceError("Standard input is closed: pipe a recording into it, or name a file.")
    return open_audio(stream, "standard input")


def _transcripts(
    recording: "AudioFile", ears: Ears, settings: "Settings", progress: Progress
) -> "Iterator[Transcript]":
    from voice.stt.long_form import transcribe as listen

    language = None if settings.language == "auto" else settings.language
    heard = False
    for transcript in listen(ears(), recording, progress, language):
        heard = True
        yield transcript
    if not heard:
        length = format_duration(round(recording.seconds)) if recording.seconds else "no sound at all"
        notify(f"Nobody speaks in {recording.name} ({length}).")


def _write_text(recording: "AudioFile", transcripts: "Iterator[Transcript]") -> None:  # noqa: ARG001 - like the others
    for segment in _segments(transcripts):
        write_out(f"{segment.text}\n")


def _write_srt(recording: "AudioFile", transcripts: "Iterator[Transcript]") -> None:  # noqa: ARG001
    from voice.stt.subtitles import srt

    for number, segment in enumerate(_segments(transcripts), 1):
        write_out(srt(number, segment))


def _write_vtt(recording: "AudioFile", transcripts: "Iterator[Transcript]") -> None:  # noqa: ARG001
    from voice.stt.subtitles import VTT_HEADER, vtt

    write_out(VTT_HEADER)
    for segment in _segments(transcripts):
        write_out(vtt(segment))


def _write_json(recording: "AudioFile", transcripts: "Iterator[Transcript]") -> None:
    from dataclasses import asdict

    heard = list(transcripts)
    surest = max(heard, key=lambda transcript: transcript.language_probability, default=None)
    head = {
        "file": recording.name,
        "seconds": round(recording.seconds, 3),
        "language": surest.language if surest else None,
        "language_probability": surest.language_probability if surest else None,
        "text": " ".join(transcript.text for transcript in heard),
    }
    segments = [_rounded(asdict(segment)) for segment in _segments(iter(heard))]
    write_out(json.dumps({**head, "segments": segments}, ensure_ascii=False) + "\n")


def _segments(transcripts: "Iterator[Transcript]") -> "Iterator[Segment]":
    for transcript in transcripts:
        yield from transcript.segments


def _rounded(value: Any) -> Any:
    """`value` with its times in milliseconds' precision."""
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return value


_WRITERS: dict[str, Callable[["AudioFile", "Iterator[Transcript]"], None]] = {
    "text": _write_text,
    "json": _write_json,
    "srt": _write_srt,
    "vtt": _write_vtt,
}
