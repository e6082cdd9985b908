"""`parley transcribe`: transcribe audio and video files to text, JSON or subtitles."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from functools import cache
from typing import IO, TYPE_CHECKING, Any

import click

from assistant.errors import AttachmentError, SkillError, VoiceError
from assistant.generation_rules import NumberRange
from assistant.progress import Progress, no_progress
from parley.cli.options import SETTINGS_OPTIONS, load_settings
from parley.cli.parameter_types import NumberParam
from parley.cli.progress import ProgressLine, format_duration
from parley.cli.terminal import decode_argument, is_terminal, notify, write_json, write_out

if TYPE_CHECKING:
    from assistant.settings import Settings
    from voice.audio.decode import AudioFile
    from voice.stt.base import Segment, SpeechToText, Transcript

_TRACKS = NumberRange(1, 10**6, whole=True)
SttLoader = Callable[[], "SpeechToText"]
"""Return the speech recognizer. The first call loads it."""


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path())
@click.option(
    "--json", "output_format", flag_value="json", help="Print one JSON object per file, with word timestamps."
)
@click.option("--srt", "output_format", flag_value="srt", help="Print SubRip subtitles.")
@click.option("--vtt", "output_format", flag_value="vtt", help="Print WebVTT subtitles.")
@click.option("--language", "-l", metavar="CODE", help="auto, or the language that is spoken: en, de, german, …")
@click.option("--whisper", metavar="MODEL", help="auto, base (the bundled one), a name, a folder or a hub id.")
@click.option("--hotwords", metavar="WORDS", help="Names and unusual words that may be said, with commas between them.")
@click.option(
    "--track", type=NumberParam(_TRACKS), metavar="NUMBER", help="Audio track of a video; else the main one is chosen."
)
@SETTINGS_OPTIONS["device"]
@click.pass_context
def transcribe(
    ctx: click.Context, /, files: tuple[str, ...], output_format: str | None, track: int | None, **options: Any
) -> None:
    """Transcribe the speech in each FILE.

    Any audio or video file will do, or a folder of them. A `-` reads one from standard input. Lines are printed as
    they are recognized.
    """
    if "" in files:
        raise click.UsageError("One of the paths is empty: name a recording.", ctx)
    if files.count("-") > 1:
        raise click.UsageError("Standard input holds one recording: give - once.", ctx)
    try:
        files = tuple(_expand_folders(files))
    except SkillError as error:
        notify(str(error))
        ctx.exit(1)
    if output_format in ("srt", "vtt") and len(files) > 1:
        raise click.UsageError("Subtitles belong to one recording: give one FILE at a time.", ctx)
    settings = load_settings(ctx, options).settings
    # Called after the first file has been opened: a mistyped path costs no download.
    load_stt = _stt_loader(settings)
    write = _WRITERS[output_format or "text"]
    all_succeeded = True
    # On a terminal the lines themselves show progress, and a bar would break into them.
    with ProgressLine(format_duration) as bar:
        progress = no_progress if is_terminal(sys.stdout) else bar
        for number, file in enumerate(files):
            name = decode_argument(file)
            if len(files) > 1 and output_format is None:
                write_out(f"{'' if number == 0 else chr(10)}==> {name} <==\n")
            try:
                with _open(file, name, track) as audio_file:
                    write(audio_file, _transcripts(audio_file, load_stt, settings, progress))
                    for notice in (*audio_file.notices, audio_file.damage()):
                        if notice:
                            notify(notice)
            except (AttachmentError, VoiceError) as error:
                all_succeeded = False
                notify(str(error))
    if not all_succeeded:
        ctx.exit(1)


def _expand_folders(files: Iterable[str]) -> Iterator[str]:
    """Yield each file, and in place of a folder the recordings in it. Raises `SkillError` for a folder without any."""
    import os

    from assistant.attachments.file_lookup import expand_user
    from skills.files import find_sources

    for file in files:
        if file != "-" and os.path.isdir(expand_user(file)):  # noqa: PTH112 - `Path.is_dir` raises for odd names
            yield from (source.name for source in find_sources([file], bytes, ("sound",), notify))
        else:
            yield file


def _stt_loader(settings: "Settings") -> SttLoader:
    @cache
    def load() -> "SpeechToText":
        from parley.factory.voice import build_stt

        with ProgressLine() as progress:
            return build_stt(settings, progress)

    return load


def _open(file: str, name: str, track: int | None) -> "AbstractContextManager[AudioFile]":
    import os
    from pathlib import Path

    from assistant.attachments.file_lookup import find_similar
    from voice.audio.decode import open_audio

    if file != "-":
        if not os.path.lexists(file) and (similar := find_similar(Path(file))) is not None:
            notify(f"{similar} is read: its name is the only one that looks like the one given.")
            return open_audio(similar, str(similar), track)
        return open_audio(file, name, track)
    stream: IO[bytes] | None = sys.stdin.buffer if sys.stdin else None
    if stream is None:
        raise VoiceError("Standard input is closed: pipe a recording into it, or name a file.")
    return open_audio(stream, "standard input", track)


def _transcripts(
    audio_file: "AudioFile", load_stt: SttLoader, settings: "Settings", progress: Progress
) -> "Iterator[Transcript]":
    from voice.stt.long_form import transcribe as transcribe_audio

    language = None if settings.language == "auto" else settings.language
    any_speech = False
    for transcript in transcribe_audio(load_stt(), audio_file, progress, language):
        any_speech = True
        yield transcript
    if not any_speech:
        length = format_duration(round(audio_file.seconds)) if audio_file.seconds else "no audio"
        notify(f"Nobody speaks in {audio_file.name} ({length}).")


def _with_channel(segment: "Segment") -> "Segment":
    """Return a segment that says which channel of a call it comes from: "left: Hello."."""
    return replace(segment, text=f"{segment.channel}: {segment.text}") if segment.channel else segment


def _write_text(audio_file: "AudioFile", transcripts: "Iterator[Transcript]") -> None:  # noqa: ARG001 - like the others
    for segment in _segments(transcripts):
        write_out(f"{_with_channel(segment).text}\n")


def _write_srt(audio_file: "AudioFile", transcripts: "Iterator[Transcript]") -> None:  # noqa: ARG001
    from voice.stt.subtitles import srt

    for number, segment in enumerate(_segments(transcripts), 1):
        write_out(srt(number, _with_channel(segment)))


def _write_vtt(audio_file: "AudioFile", transcripts: "Iterator[Transcript]") -> None:  # noqa: ARG001
    from voice.stt.subtitles import VTT_HEADER, vtt

    write_out(VTT_HEADER)
    for segment in _segments(transcripts):
        write_out(vtt(_with_channel(segment)))


def _write_json(audio_file: "AudioFile", transcripts: "Iterator[Transcript]") -> None:
    all_transcripts = list(transcripts)
    most_confident = max(all_transcripts, key=lambda transcript: transcript.language_probability, default=None)
    head = {
        "file": audio_file.name,
        "seconds": round(audio_file.seconds, 3),
        "language": most_confident.language if most_confident else None,
        "language_probability": most_confident.language_probability if most_confident else None,
        "text": " ".join(transcript.text for transcript in all_transcripts),
    }
    segments = [_rounded(asdict(segment)) for segment in _segments(iter(all_transcripts))]
    for segment in segments:
        # Only recordings with a speaker in each channel have it.
        if not segment["channel"]:
            del segment["channel"]
    write_json({**head, "segments": segments})


def _segments(transcripts: "Iterator[Transcript]") -> "Iterator[Segment]":
    for transcript in transcripts:
        yield from transcript.segments


def _rounded(value: Any) -> Any:
    """Return `value` with all floats rounded to three decimals: times to milliseconds."""
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
