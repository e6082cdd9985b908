"""`parley voice`: a conversation without hands, which is also written down as it goes."""

import sys
from typing import TYPE_CHECKING, Any

import click

from assistant.cli.options import Choices, choose, conversation_options
from assistant.cli.terminal import ProgressLine, say, tell

if TYPE_CHECKING:
    from assistant.events import Event
    from assistant.messages import Image
    from assistant.session import Session
    from voice.end_of_turn import Judge
    from voice.speech_to_text import SpeechToText
    from voice.text_to_speech import TextToSpeech


@click.command()
@click.option("--image", "-i", "images", multiple=True, metavar="PATH", help="A picture to talk about.")
@click.option("--voice", "-v", metavar="VOICE", help="auto, piper or its .onnx file, espeak, espeak:de, coqui:VOICE.")
@click.option("--language", "-l", metavar="CODE", help="auto, or the language that is spoken: en, de, …")
@click.option("--whisper", metavar="MODEL", help="auto, base (the embedded one), a name, a folder or a hub id.")
@click.option("--microphone", metavar="NAME", default="default", help="Where to listen: a number or part of a name.")
@click.option("--speaker", metavar="NAME", default="default", help="Where to play: a number or part of a name.")
@click.option("--headphones", is_flag=True, help="The microphone cannot hear the speaker.")
@conversation_options
@click.pass_context
def voice(
    ctx: click.Context,
    /,
    images: tuple[str, ...],
    microphone: str,
    speaker: str,
    headphones: bool,
    **options: Any,
) -> None:
    """Talk. Parley listens, answers aloud, and stops when you speak.

    What is said goes to standard output as well. Ctrl-C ends it.
    """
    from assistant.app import build_ears, build_judge, build_mouth, start
    from assistant.attachments import load_image
    from voice.streams import Microphone, Playback

    choices = choose(ctx, options)
    settings = choices.settings
    limit = settings.max_image_megapixels
    attached = [load_image(each, allow_urls=settings.allow_urls, max_megapixels=limit) for each in images]
    for picture in attached:
        for notice in picture.notices:
            tell(notice)
    # Devices first: without them nothing else needs to be fetched or loaded.
    heard = Microphone(microphone)
    with ProgressLine() as progress:
        mouth = build_mouth(settings, progress)
        played = Playback(mouth.sample_rate, speaker)
        ears = build_ears(settings, progress)
        judge = build_judge(settings, progress, tell)
        session = start(settings, progress, resume=choices.resume, keep=choices.keep)
    pictures = [picture.image for picture in attached]
    _converse(session, ears, mouth, heard, played, choices, pictures, judge, headphones=headphones)


def _converse(
    session: "Session",
    ears: "SpeechToText",
    mouth: "TextToSpeech",
    heard: Any,
    played: Any,
    choices: Choices,
    pictures: "list[Image]",
    judge: "Judge | None",
    *,
    headphones: bool,
) -> None:
    import asyncio

    from assistant.lines import unsaved_told
    from voice.conversation import SpokenConversation
    from voice.echo import Canceller
    from voice.turn_taking import SileroDetector, TurnTaking

    language = None if choices.settings.language == "auto" else choices.settings.language
    script = Script()

    async def talk() -> None:
        conversation = SpokenConversation(
            session,
            ears,
            mouth,
            played,
            TurnTaking(SileroDetector()),
            script,
            language=language,
            headphones=headphones,
            pictures=pictures,
            judge=judge,
        )
        try:
            with heard as microphone, played:
                tell(f"Listening to {microphone.name}. Ctrl-C ends the conversation.")
                microphone.beside = played.audible
                cleaned = microphone if headphones else Canceller(played.rate).clean(microphone.pairs())
                await conversation.run(cleaned)
        finally:
            script.end_line()
            await session.close()

    with unsaved_told(session, tell), asyncio.Runner() as runner:
        runner.run(talk())


class Script:
    """Writes a conversation down: who says what, each in a line of its own."""

    def __init__(self) -> None:
        self._open = False

    def __call__(self, event: "Event") -> None:
        """Write what `event` tells."""
        from assistant.events import Heard, Notice, TextDelta, TurnFinished

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
            case TurnFinished():
                self.end_line()

    def end_line(self) -> None:
        """Finish a line that was interrupted."""
        if self._open and sys.stdout is not None:
            say("\n")
        self._open = False
