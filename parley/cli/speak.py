"""`parley speak`: a text read aloud, or into a WAV file."""

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
from parley.cli.options import DeviceParam, TextParam, load_settings
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
    "--voice", "-v", metavar="VOICE", help="auto, piper or its .onnx file, espeak, espeak:de, coqui:VOICE, xtts:VOICE."
)
@click.option(
    "--clone", metavar="FILE", help="Speak with XTTS like the voice in this recording (the same as xtts:FILE)."
)
@click.option("--language", "-l", metavar="CODE", help="auto, or the language of the text: en, de, german, …")
@click.option("--speaker", metavar="NAME", default="default", help="Where to play: a number or part of a name.")
@click.option("--device", type=DeviceParam(), help="Where a Coqui voice runs: auto, cpu, cuda or cuda:1.")
@click.pass_context
def speak(
    ctx: click.Context, /, words: tuple[str, ...], output: str | None, speaker: str, clone: str | None, **options: Any
) -> None:
    """Read TEXT aloud, sentence by sentence.

    Without TEXT, or with -, it comes from standard input and is read as it arrives. Markdown, code and links are left
    to the eye.
    """
    if output not in (None, "-") and not str(output).lower().endswith(".wav"):
        raise click.UsageError(f"{output} would be a WAV file: give it a name that ends with .wav.", ctx)
    if clone is not None:
        if options["voice"] is not None:
            raise click.UsageError("--clone speaks with XTTS: leave --voice out.", ctx)
        options["voice"] = _clone_voice_name(ctx, clone)
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
    sounds = synthesize([text] if words and text != "-" else _standard_input(), voice, language)
    first = next(sounds, None)
    if first is None:
        raise VoiceError("There is nothing to say in this text: give some words.")
    piped = io.BytesIO()
    with _target(output, piped, speaker, voice.sample_rate) as target:
        target.write(first)
        for samples in sounds:
            target.write(samples)
    if output == "-":
        sys.stdout.buffer.write(piped.getvalue())
        sys.stdout.buffer.flush()


def _clone_voice_name(ctx: click.Context, clone: str) -> str:
    """Return the name of the voice that clones the one in the audio file `clone`. Raises `VoiceError` without it."""
    from voice.tts import xtts

    if not clone.lower().endswith(xtts.AUDIO_SUFFIXES):
        # It would be taken for the name of a speaker.
        raise click.UsageError(f"--clone takes a recording that ends with {', '.join(xtts.AUDIO_SUFFIXES)}.", ctx)
    xtts.reference_audio(clone)
    return xtts.voice_name_of_clone(clone)


def _check_target(output: str | None, speaker: str) -> None:
    """Raise `VoiceError` or `MissingExtraError` where the sound could go nowhere: before a voice is fetched for it."""
    if output is None:
        from voice.audio.devices import find_device

        with _file_named_instead():
            find_device(speaker, "output")
    elif output != "-" and not (folder := Path(output).absolute().parent).is_dir():
        raise VoiceError(f"{output} cannot be written: there is no folder {folder.name}; make it first.")


@contextmanager
def _file_named_instead() -> Iterator[None]:
    """Add to what is wrong with the speaker that none is needed."""
    try:
        yield
    except (VoiceError, MissingExtraError) as error:
        raise type(error)(f"{error} Without a speaker, -o FILE.wav writes the sound into a file.") from error


def _target(
    output: str | None, piped: io.BytesIO, speaker: str, sample_rate: int
) -> "AbstractContextManager[Speaker | WavFile]":
    from voice.audio.wav import WavFile

    if output is None:
        from voice.audio.devices import Speaker

        with _file_named_instead():
            return Speaker(sample_rate, speaker)
    # The length stands at the beginning of a WAV file, so that one for a pipe is gathered first.
    return WavFile(piped if output == "-" else Path(output), sample_rate)


def _standard_input() -> Iterator[str]:
    """The text that is piped, as it arrives. Raises `UsageError` if nothing does."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
    empty = True
    if sys.stdin is not None:
        stream = cast("io.BufferedReader", sys.stdin.buffer)
        while data := stream.read1(_READ_BYTES):
            piece = decoder.decode(data)
            empty = empty and not piece.strip()
            yield piece
    if empty:
        raise click.UsageError("The text is empty: say what is to be spoken.")
    yield decoder.decode(b"", final=True)
