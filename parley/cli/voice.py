"""`parley voice`: a spoken conversation, with a transcript on standard output."""

from typing import TYPE_CHECKING, Any

import click

from assistant.stderr import reserve_stderr
from parley.cli.licenses import ask_for_license
from parley.cli.options import chat_options, resolve_options
from parley.cli.progress import ProgressLine
from parley.cli.terminal import notify, write_out

if TYPE_CHECKING:
    from assistant.conversation.session import Session
    from assistant.messages import Image
    from voice.voice_session import VoiceSession


@click.command()
@click.option("--image", "-i", "images", multiple=True, metavar="PATH", help="Image to talk about; may be repeated.")
@click.option(
    "--voice",
    "-v",
    metavar="VOICE",
    help="auto, hibari, piper or its .onnx file, espeak, espeak:de, coqui:VOICE, xtts.",
)
@click.option("--language", "-l", metavar="CODE", help="auto, or the language that is spoken: en, de, german, …")
@click.option("--whisper", metavar="MODEL", help="auto, base (the bundled one), a name, a folder or a hub id.")
@click.option("--hotwords", metavar="WORDS", help="Names and unusual words that may be said, with commas between them.")
@click.option("--microphone", metavar="NAME", help="Microphone: a number or part of a name.")
@click.option("--speaker", metavar="NAME", help="Speaker: a number or part of a name.")
@click.option("--headphones", is_flag=True, help="The microphone cannot hear the speaker.")
@click.option("--empathy", is_flag=True, help="Tell the model when you sound upset, and the log how you sound.")
@click.option("--log", "call_log", metavar="FILE", help="Log the conversation to FILE as JSON lines.")
@click.option("--keep-audio", metavar="FOLDER", help="Save a WAV file of each utterance and each reply there.")
@click.option("--record", metavar="PATH", help="Record the call in stereo: you on the left, Parley on the right.")
@chat_options
@click.pass_context
def voice(ctx: click.Context, /, images: tuple[str, ...], **options: Any) -> None:
    """Talk with Parley: it listens, answers aloud, and stops when you speak.

    A transcript goes to standard output. Ctrl-C ends the conversation.
    """
    from assistant.attachments.images import ImageLoader
    from parley.factory.session import start_session
    from parley.factory.voice import build_voice_session

    chosen = resolve_options(ctx, options)
    settings = chosen.settings
    loaded_images, notices = ImageLoader.from_settings(settings).load_all(images)
    for notice in notices:
        notify(notice)
    ask_for_license(settings)
    with ProgressLine() as progress:
        # Before the model: without a microphone it need not be loaded.
        voice_session = build_voice_session(settings, progress)
        session = start_session(settings, progress, resume=chosen.resume, save=chosen.save)
    _run_voice_session(session, voice_session, loaded_images)


def _run_voice_session(session: "Session", voice_session: "VoiceSession", images: "list[Image]") -> None:
    import asyncio

    from parley.cli.signals import run
    from parley.cli.transcript_printer import TranscriptPrinter, warn_if_unsaved
    from voice.options import FrontEnd

    printer = TranscriptPrinter(write_out, notify, show_speakers=True)

    def take_images() -> "list[Image]":
        """Return the images for the first question, and none after that."""
        taken = images[:]
        images.clear()
        return taken

    def on_ready(_: object) -> None:
        notify(f"Listening to {voice_session.microphone.name}. Ctrl-C ends the conversation.")

    async def converse() -> None:
        try:
            front_end = FrontEnd(printer, take_images=take_images, pending_images=lambda: images)
            await voice_session.run(session, front_end, on_ready=on_ready)
        finally:
            printer.end_line()
            await session.close()

    with reserve_stderr(), warn_if_unsaved(session, notify), asyncio.Runner() as runner:
        run(runner, converse())
