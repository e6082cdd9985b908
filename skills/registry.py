"""Every skill there is: those Parley brings along, and those that other packages declare.

A package adds skills with an entry point each in the group `parley.skills`, whose name is that of the skill:

    [project.entry-points."parley.skills"]
    mood = "my_package:mood"

Names are known without importing anything. One that cannot be imported spoils nothing but itself.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from assistant.errors import SkillError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from skills.definition import Skill

GROUP = "parley.skills"


class BuiltIn(NamedTuple):
    """Where a skill of Parley's own is, and the first line of its docstring, so that help can show it unimported."""

    module: str
    summary: str


BUILT_IN: Mapping[str, BuiltIn] = {
    "caption": BuiltIn("skills.captioning", "Say what a picture shows."),
    "emotion": BuiltIn("skills.emotions.emotion", "Say what somebody seems to feel, by words, face and voice."),
    "read": BuiltIn("skills.ocr", "Read the words in a picture, with where they stand and how sure that is."),
    "vqa": BuiltIn("skills.question_answering", "Answer a question about a picture, and say how sure that is."),
}


def names() -> list[str]:
    """The names of all skills: Parley's own first, each part in order of the alphabet."""
    return [*sorted(BUILT_IN), *sorted(plugin_entry_points())]


def summary(name: str) -> str:
    """One line about a skill, found without importing it."""
    if name in BUILT_IN:
        return BUILT_IN[name].summary
    return f"From the package {_package(plugin_entry_points()[name])}."


def find(name: str) -> "Skill[..., Any]":
    """The skill called `name`. Raises `SkillError` if there is none, or if it cannot be imported."""
    from skills.definition import Skill

    if name in BUILT_IN:
        found: object = getattr(import_module(BUILT_IN[name].module), name.replace("-", "_"))
        assert isinstance(found, Skill)
        return found
    entry = plugin_entry_points().get(name)
    if entry is None:
        raise SkillError(f"There is no skill {name}; there are {', '.join(names())}.")
    try:
        found = entry.load()
    except Exception as error:
        # Anybody's code runs here.
        raise SkillError(
            f"The skill {name} of the package {_package(entry)} cannot be used ({type(error).__name__}: {error}): "
            "update the package, or uninstall it."
        ) from error
    if not isinstance(found, Skill):
        raise SkillError(f"{entry.value} of the package {_package(entry)} is no skill: decorate it with @skill.")
    if found.name != name:
        raise SkillError(f"The package {_package(entry)} declares its skill {found.name} as {name}: use one name.")
    return found


def all_skills() -> "tuple[list[Skill[..., Any]], list[str]]":
    """All skills that can be used, and a sentence about each that cannot."""
    found, notices = [], []
    for name in names():
        try:
            one = find(name)
            _ = one.parameters, one.result_type
        except SkillError as error:
            notices.append(str(error))
        else:
            found.append(one)
    return found, notices


def plugin_entry_points() -> "dict[str, EntryPoint]":
    # Reading what every installed package declares takes some milliseconds, so nobody does it without need.
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in BUILT_IN}


def _package(entry: "EntryPoint") -> str:
    return entry.dist.name if entry.dist is not None else entry.module
