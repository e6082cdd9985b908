"""`parley voice`: a conversation without hands, which is also written down as it goes."""

import sys
from typing import TYPE_CHECKING, Any

import click

from parley.cli.licences import ask_for_licence
from parley.cli.options import choose, conversation_options
from parley.cli.terminal import ProgressLine, say, tell

if TYPE_CHECKING:
    from assistant.conversation.session import Session
    from assistant.events import Event
    from assistant.messages import Image
    from voice.voice_session import VoiceSession


@click.command()
@click.option("--image", "-i", "images", multiple=True, metavar="PATH", help="A picture to talk about.")
@click.option(
    "--voice", "-v", metavar="VOICE", help="auto, piper or its .onnx file, espeak, espeak:de, coqui:VOICE, xtts."
)
@click.option("--language", "-l", metavar="CODE", help="auto, or the language that is spoken: en, de, german, …")
@click.option("--whisper", metavar="MODEL", help="auto, base (the bundled one), a name, a folder or a hub id.")
@click.option("--microphone", metavar="NAME", help="Where to listen: a number or part of a name.")
@click.option("--speaker", metavar="NAME", help="Where to play: a number or part of a name.")
@click.option("--headphones", is_flag=True, help="The microphone cannot hear the speaker.")
@click.option("--empathy", is_flag=True, help="Tell the model when you sound upset, and the log how you sound.")
@click.option("--log", "call_log", metavar="FILE", help="Append what happens to FILE, a JSON object a line.")
@click.option("--keep-audio", metavar="FOLDER", help="Keep what is heard there, a WAV file for each utterance.")
@conversation_options
@click.pass_context
def voice(ctx: click.Context, /, images: tuple[str, ...], **options: Any) -> None:
    """Talk. Parley listens, answers aloud, and stops when you speak.

    What is said goes to standard output as well. Ctrl-C ends it.
    """
    from assistant.attachments.images import ImageLoader
    from parley.factory.session import start_session
    from parley.factory.voice import build_voice_session

    choices = choose(ctx, options)
    settings = choices.settings
    attached, notices = ImageLoader.from_settings(settings).load_all(images)
    for notice in notices:
        tell(notice)
    ask_for_licence(settings)
    with ProgressLine() as progress:
        # Before the model: without a microphone it need not be loaded.
        call = build_voice_session(settings, progress)
        session = start_session(settings, progress, resume=choices.resume, save=choices.keep)
    _converse(session, call, attached)


def _converse(session: "Session", call: "VoiceSession", pictures: "list[Image]") -> None:
    import asyncio

    from parley.cli.chat import unsaved_told

    script = Script()
    tables = [pictures]

    def taken() -> "list[Image]":
        return tables.pop() if tables else []

    def ready(_: object) -> None:
        tell(f"Listening to {call.microphone.name}. Ctrl-C ends the conversation.")

    async def talk() -> None:
        try:
            await call.converse(session, script, ready=ready, pictures=taken)
        finally:
            script.end_line()
            await session.close()

    with reserve_stderr(), unsaved_told(session, tell), asyncio.Runner() as runner:
        runner.run(talk())


class Script:
    """Writes a conversation down: who says what, each in a line of its own."""

    def __init__(self) -> None:
        self._open = False

    def __call__(self, event: "Event") -> None:
        """Write what `event` tells."""
        from assistant.events import Heard, Notice, Spoken, TextDelta

        match event:
            case Heard(text):
                self.end_line()
                say(f"You: {text}\n")
            case TextDelta(text):
                # A reply of several lines would look like several speakers.
                text = " ".join(text.split("\n"))
                say(text if self._open else f"Parley: {text.lstrip()}")
                self._open = True
            case Notice(text):
                self.end_line()
                tell(text)
            case Spoken():
                self.end_line()

    def end_line(self) -> None:
        """Finish a line that was interrupted."""
        if self._open and sys.stdout is not None:
            say("\n")
        self._open = False
