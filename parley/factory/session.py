"""Build conversations: a new session, or one resumed from the history."""

from dataclasses import fields
from typing import TYPE_CHECKING

from assistant.conversation.session import Session
from assistant.errors import HistoryError
from assistant.messages import Message, system
from assistant.models.base import ChatModel, GenerationOptions
from assistant.progress import OnNotice, Progress, no_notice, no_progress
from assistant.text_cleaning import valid_unicode
from parley.factory.emotion import EmotionBackends
from parley.factory.models import ModelLoader, build_model
from parley.factory.recommendation import recommend_once
from parley.factory.voice import load_audio

if TYPE_CHECKING:
    from assistant.history.store import History
    from assistant.settings import Settings


def start_session(
    settings: "Settings",
    progress: Progress = no_progress,
    *,
    resume: str | None = None,
    save: bool = True,
    notices: list[str] | None = None,
) -> Session:
    """Load the model and return a session ready for its first turn. Blocks like `build_model`.

    Args:
        settings: Everything that is set.
        progress: Receives download and loading progress.
        resume: Id of the conversation to continue; None starts a new one.
        save: Save turns to the history.
        notices: Queue of notices, which the first turn emits. Pass the same one when starting failed and is tried
            again: what was wrong with the history is said only once.

    Raises:
        ModelError: The model cannot be loaded.
        HistoryError: The conversation cannot be read.
    """
    notices = [] if notices is None else notices
    history = open_history(settings, notices.append)
    model = build_model(settings, progress, notices.append)
    if save:
        recommend_once(settings, notices.append)
    return build_session(settings, model, history, resume=resume, save=save, notices=notices)


def build_session(
    settings: "Settings",
    model: ChatModel,
    history: "History",
    *,
    resume: str | None = None,
    save: bool = True,
    notices: list[str] | None = None,
) -> Session:
    """Return a session with `model` in which skills answer slash commands such as "/caption".

    Args:
        settings: `system` replaces the instructions of a resumed conversation; sampling options apply to every turn.
        model: Answers the turns.
        history: Conversations on this machine.
        resume: Id of the conversation to continue; None starts a new one.
        save: Save turns to `history`, or keep them in memory only.
        notices: Queue of notices that the turns emit; `history` and `model` may add to it.

    Raises:
        HistoryError: The conversation cannot be read.
    """
    from skills.slash_commands import SlashCommandRouter

    notices = [] if notices is None else notices
    system_text = None if settings.system is None else valid_unicode(settings.system)
    if resume is None:
        conversation, earlier = history.create(model.info.name, system_text), list[Message]()
    else:
        conversation, earlier = history.load(resume)
    instructions = system_text or conversation.system
    session = Session(
        model,
        options=generation_options(settings),
        option_origins=settings.origins,
        system=system(instructions) if instructions else None,
        messages=earlier,
        store=conversation if save else None,
        notices=notices,
        # Looked up at each call, because a session can change its model.
        router=SlashCommandRouter(
            lambda: session.model, EmotionBackends(settings, chat_model=lambda: session.model), load_audio
        ),
        models=ModelLoader(settings, notices.append),
        model_name=settings.model,
    )
    return session


def generation_options(settings: "Settings") -> GenerationOptions:
    """Return how replies are generated with these settings."""
    return GenerationOptions(**{each.name: getattr(settings, each.name) for each in fields(GenerationOptions)})


def open_history(settings: "Settings", on_notice: OnNotice = no_notice) -> "History":
    """Open the conversations saved on this machine. `on_notice` receives what the user should know about the files."""
    from assistant.history.store import History

    return History(settings.data_dir / "history.sqlite3", on_notice)


def find_conversation(history: "History", id_prefix: str | None) -> str:
    """Return the id that starts with `id_prefix`, or of the latest conversation if it is None.

    Raises:
        HistoryError: There is none, or several match.
    """
    if id_prefix is not None:
        return history.find(id_prefix)
    latest = history.latest()
    if latest is None:
        raise HistoryError("There is no conversation to continue yet: start one without --continue.")
    return latest
