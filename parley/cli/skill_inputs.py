"""Inputs of a skill that runs from the command line: the content of files, and the models it asks."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from parley.cli.progress import ProgressLine
from parley.cli.terminal import notify

if TYPE_CHECKING:
    import threading

    from assistant.settings import Settings
    from skills.definition import Dependency, Skill
    from skills.files import Source
    from skills.parameters import Parameter, ParameterKind


def load_files(skill: "Skill[..., Any]", values: Mapping[str, Any], settings: "Settings") -> dict[str, Any]:
    """Return `values` with the content of image and audio files in place of their paths."""
    from skills.files import Source

    loaded = dict(values)
    for parameter in skill.parameters:
        path = values.get(parameter.name)
        if parameter.kind in ("photo", "sound") and path is not None:
            loaded[parameter.name], notices = load_file(
                Source(path), {parameter.kind: parameter}, settings, parameter.kind
            )
            for notice in notices:
                notify(notice)
    return loaded


def load_file(
    source: "Source",
    parameters: "Mapping[ParameterKind, Parameter]",
    settings: "Settings",
    media_type: "ParameterKind | None" = None,
) -> tuple[Any, Sequence[str]]:
    """Return the content of a file and notices about it. Without `media_type` the file's own type is detected."""
    match media_type or source.media_type(parameters):
        case "sound":
            from parley.factory.voice import load_audio

            return load_audio(source.name, source.data)
        case "text":
            return source.read_text(), ()
    from assistant.attachments.images import ImageLoader

    loaded = source.read_image(ImageLoader.from_settings(settings))
    return loaded.image, loaded.notices


def build_dependencies(
    skill: "Skill[..., Any]",
    settings: "Settings",
    stop: "threading.Event",
    workers: int | None = None,
    max_workers: int = 1,
) -> "Sequence[Dependency | None]":
    """Return the dependency of `skill` for each thread that runs it."""
    if skill.needs_emotion_models:
        from parley.factory.emotion import EmotionBackends

        return [EmotionBackends(settings, progress_display=ProgressLine, on_notice=notify)]
    if not skill.needs_model:
        return [None] * min(workers or 1, max_workers)
    from parley.factory.models import build_vision_clients

    notices: list[str] = []
    with ProgressLine() as progress:
        clients = build_vision_clients(
            settings, stop, progress, notices.append, workers=workers, max_clients=max_workers
        )
    for notice in notices:
        notify(notice)
    return clients
