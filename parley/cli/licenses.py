"""Ask a person on a terminal to accept the license of a voice before it is downloaded."""

import sys
from typing import TYPE_CHECKING

import click

from parley.cli.terminal import is_terminal, notify

if TYPE_CHECKING:
    from assistant.settings import Settings


def ask_for_license(settings: "Settings") -> None:
    """Ask once whether the license of the selected voice is accepted, and record a yes.

    Nothing is asked if the voice has no license or it is accepted already, without a terminal, and while the voice's
    package is missing. Loading the voice reports an error in these cases.

    Raises:
        ConfigError: There is no such voice.
        VoiceError: The audio file to clone does not exist, or the acceptance cannot be recorded.
    """
    from voice.tts.registry import parse_voice_name

    parsed = parse_voice_name(settings.voice)
    if parsed is None:
        return
    engine, argument = parsed
    if engine.license is None or engine.license.is_accepted(settings):
        return
    engine.check(argument)
    if not is_terminal(sys.stdin, sys.stderr) or not engine.is_installed():
        return
    notify(engine.license.text)
    if click.confirm("Do you accept it?", default=False, err=True):
        engine.license.accept(settings.data_dir)
