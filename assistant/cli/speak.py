"""`parley speak`: a text read aloud, or into a WAV file."""

import codecs
import io
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from assistant.cli.licences import ask_for_licence
from assistant.cli.options import Device, Words, load_settings
from assistant.cli.terminal import ProgressLine, tell
from assistant.errors import VoiceError

if TYPE_CHECKING:
    from voice.devices import Speaker
    from voice.wav import WavFile

_READ_BYTES = 4096


@click.command()
@click.argument("words", nargs=-1, metavar="[TEXT]", type=Words())
@click.option("--output", "-o", metavar="FILE", help="Write a WAV file instead of playing; - is standard output.")
@click.option(
    "--voice", "-v", metavar="VOICE", help="auto, piper or its .onnx file, espeak, espeak:de, coqui:VOICE, xtts:VOICE."
)
@click.option(
    "--clone", metavar="FILE", help="Speak with XTTS like the voice in this recording (the same as xtts:FILE)."
)
@click.option("--language", "-l", metavar="CODE", help="auto, or the language of the text: en, de, …")
@click.option("--speaker", metavar="NAME", default="default", help="Where to play: a number or part of a name.")
@click.option("--device", type=Device(), help="Where a Coqui voice runs: auto, cpu, cuda or cuda:1.")
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
        options["voice"] = f"xtts:{clone}"
    settings = load_settings(ctx, options).settings
    text = " ".join(words)
    if words and text != "-" and not text.strip():
        raise click.UsageError("The text is empty: say what is to be spoken.", ctx)
    from assistant.app import build_mouth
    from voice.text_to_speech import speak as synthesize

    ask_for_licence(settings)
    notices: list[str] = []
    with ProgressLine() as progress:
        voice = build_mouth(settings, progress, notices.append)
    for notice in notices:
        tell(notice)
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


def _target(
    output: str | None, piped: io.BytesIO, speaker: str, sample_rate: int
) -> "AbstractContextManager[Speaker | WavFile]":
    from voice.wav import WavFile

    if output is None:
        from voice.devices import Speaker

        return Speaker(sample_rate, speaker)
    # The length stands at the beginning of a WAV file, so that one for a pipe is gathered first.
    return WavFile(piped if output == "-" else Path(output), sample_rate)


def _standard_input() -> Iterator[str]:
    """The text that is piped, as it arrives."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
    if sys.stdin is not None:
        stream = cast("io.BufferedReader", sys.stdin.buffer)
        while data := stream.read1(_READ_BYTES):
            yield decoder.decode(data)
    yield decoder.decode(b"", final=True)
