"""Licences that a person has to accept before a model is fetched: asked about once, on a terminal."""

import sys
from typing import TYPE_CHECKING

import click

from parley.cli.terminal import notify

if TYPE_CHECKING:
    from assistant.settings import Settings


def ask_for_license(settings: "Settings") -> None:
    """Ask, and remember a yes, where XTTS is to speak, nobody has accepted its licence and there is somebody to ask.

    What happens without it is for `parley.factory.voice.build_tts` to say. Raises `VoiceError` if there is no recording to
    imitate.
    """
    kind, _, which = settings.voice.partition(":")
    if kind != "xtts" or settings.xtts_licence_accepted:
        return
    from voice.tts import coqui, xtts

    xtts.reference_recording(which)
    if xtts.is_accepted(settings.data_dir) or not is_terminal() or not coqui.is_installed():
        return
    notify(xtts.LICENCE)
    if click.confirm("Do you accept it?", default=False, err=True):
        xtts.accept(settings.data_dir)


def is_terminal() -> bool:
    """Whether there is somebody who sees a question and can answer it."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))
