"""`parley speak`: read a text aloud, or write the speech to a WAV file."""

import codecs
import io
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from assistant.errors import MissingExtraError, VoiceError
from parley.cli.licenses import ask_for_license
from parley.cli.options import load_settings
from parley.cli.parameter_types import SettingParam, TextParam
from parley.cli.progress import ProgressLine
from parley.cli.terminal import notify

if TYPE_CHECKING:
    from voice.audio.devices import Speaker
    from voice.audio.wav import WavFile

_READ_BYTES = 4096


@click.command()
@click.argument("words", nargs=-1, metavar="[TEXT]", type=TextParam())
@click.option("--output", "-o", metavar="FILE", help="Write a WAV file instead of playing; - is standard output.")
@click.option(
    "--voice",
    "-v",
    metavar="VOICE",
    help="auto, hibari, piper or its .onnx file, espeak, espeak:de, coqui:VOICE, xtts:VOICE.",
)
@click.option("--clone", metavar="FILE", help="Clone the voice in this recording with XTTS (same as xtts:FILE).")
@click.option("--language", "-l", metavar="CODE", help="auto, or the language of the text: en, de, german, …")
@click.option("--speaker", metavar="NAME", default="default", help="Where to play: a number or part of a name.")
@click.option("--device", type=SettingParam("device"), help="Where a Coqui voice runs: auto, cpu, cuda or cuda:1.")
@click.pass_context
def speak(
    ctx: click.Context, /, words: tuple[str, ...], output: str | None, speaker: str, clone: str | None, **options: Any
) -> None:
    """Read TEXT aloud, sentence by sentence.

    Without TEXT, or with -, standard input is read aloud as it arrives. Markdown, code and links are not spoken.
    """
    if output not in (None, "-") and not str(output).lower().endswith(".wav"):
        raise click.UsageError(f"{output} would be a WAV file: give it a name that ends with .wav.", ctx)
    if clone is not None:
        if options["voice"] is not None:
            raise click.UsageError("--clone speaks with XTTS: leave --voice out.", ctx)
        options["voice"] = _clone_voice_name(ctx, clone)
        if output is not None and Path(output).resolve() == Path(clone).resolve():
            raise click.UsageError(f"{output} is the recording to clone: name another file for the speech.", ctx)
    settings = load_settings(ctx, options).settings
    text = " ".join(words)
    if words and text != "-" and not text.strip():
        raise click.UsageError("The text is empty: say what is to be spoken.", ctx)
    from parley.factory.voice import build_tts
    from voice.tts.base import speak as synthesize

    ask_for_license(settings)
    _check_target(output, speaker)
    notices: list[str] = []
    with ProgressLine() as progress:
        voice = build_tts(settings, progress, notices.append)
    for notice in notices:
        notify(notice)
    language = "en" if settings.language == "auto" else settings.language
    chunks = synthesize(
        [text] if words and text != "-" else _read_standard_input(),
        voice,
        language,
        text_language="" if settings.language == "auto" else settings.language,
        on_notice=notify,
    )
    first = next(chunks, None)
    if first is None:
        raise VoiceError("There is nothing to say in this text: give some words.")
    wav_buffer = io.BytesIO()
    with _open_target(output, wav_buffer, speaker, voice.sample_rate) as target:
        target.write(first)
        for samples in chunks:
            target.write(samples)
    if output == "-":
        sys.stdout.buffer.write(wav_buffer.getvalue())
        sys.stdout.buffer.flush()


def _clone_voice_name(ctx: click.Context, clone: str) -> str:
    """Return the name of the voice that clones the one in the audio file `clone`. Raises `ConfigError` without it."""
    from voice.tts import xtts

    if not clone.lower().endswith(xtts.AUDIO_SUFFIXES):
        # XTTS would take it for the name of a speaker.
        raise click.UsageError(f"--clone takes a recording that ends with {', '.join(xtts.AUDIO_SUFFIXES)}.", ctx)
    xtts.reference_audio(clone)
    return xtts.voice_name_of_clone(clone)


def _check_target(output: str | None, speaker: str) -> None:
    """Raise `VoiceError` or `MissingExtraError` if there is nowhere to play or write, before a voice is loaded."""
    if output is None:
        from voice.audio.devices import find_device

        with _suggest_file():
            find_device(speaker, "output")
    elif output != "-" and not (folder := Path(output).parent).is_dir():
        raise VoiceError(f"{output} cannot be written: there is no folder {folder}; make it first.")


@contextmanager
def _suggest_file() -> Iterator[None]:
    """Add to errors of the speaker that a file can be written instead."""
    try:
        yield
    except (VoiceError, MissingExtraError) as error:
        raise type(error)(f"{error} Without a speaker, -o FILE.wav writes the speech to a file.") from error


def _open_target(
    output: str | None, wav_buffer: io.BytesIO, speaker: str, sample_rate: int
) -> "AbstractContextManager[Speaker | WavFile]":
    from voice.audio.wav import WavFile

    if output is None:
        from voice.audio.devices import Speaker

        with _suggest_file():
            return Speaker(sample_rate, speaker)
    # A WAV file starts with its length, so the audio for a pipe is collected first.
    return WavFile(wav_buffer if output == "-" else Path(output), sample_rate)


def _read_standard_input() -> Iterator[str]:
    """Yield the text on standard input as it arrives. Raises `UsageError` if there is none."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
    empty = True
    if sys.stdin is not None:
        stream = cast("io.BufferedReader", sys.stdin.buffer)
        while data := stream.read1(_READ_BYTES):
            text = decoder.decode(data)
            empty = empty and not text.strip()
            yield text
    if empty:
        raise click.UsageError("The text is empty: say what is to be spoken.")
    yield decoder.decode(b"", final=True)
