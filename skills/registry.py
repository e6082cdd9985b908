"""Find skills by name: those that Parley ships, and those of other packages.

A package declares each of its skills with an entry point in the group `parley.skills`, named like the skill:

    [project.entry-points."parley.skills"]
    mood = "my_package:mood"

Names are known without importing the skills. A skill that cannot be imported does not affect the others.
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
    """Module of a built-in skill, and its summary, which help shows without importing the skill."""

    module: str
    summary: str


BUILT_IN: Mapping[str, BuiltIn] = {
    "caption": BuiltIn("skills.captioning", "Say what a picture shows."),
    "emotion": BuiltIn("skills.emotions.emotion", "Say what somebody seems to feel, by words, face and voice."),
    "read": BuiltIn("skills.ocr", "Read the words in a picture, with where they stand and how sure that is."),
    "vqa": BuiltIn("skills.question_answering", "Answer a question about a picture, and say how sure that is."),
}


def names() -> list[str]:
    """Return the names of all skills: built-in skills first, then plugins, each sorted."""
    return [*sorted(BUILT_IN), *sorted(plugin_entry_points())]


def summary(name: str) -> str:
    """Return one line about a skill without importing it."""
    if name in BUILT_IN:
        return BUILT_IN[name].summary
    return f"From the package {_package(plugin_entry_points()[name])}."


def find(name: str) -> "Skill[..., Any]":
    """Import the skill called `name`. Raises `SkillError` if there is none, or if it cannot be imported."""
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
        # Imports third-party code, which may raise anything.
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
    """Return all usable skills, and a sentence about each that is not."""
    found, notices = [], []
    for name in names():
        try:
            skill = find(name)
            _ = skill.parameters, skill.result_type
        except SkillError as error:
            notices.append(str(error))
        else:
            found.append(skill)
    return found, notices


def plugin_entry_points() -> "dict[str, EntryPoint]":
    """Return the skills of other packages by name. A plugin cannot replace a built-in skill.

    Takes some milliseconds: it reads the metadata of every installed package.
    """
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in BUILT_IN}


def _package(entry: "EntryPoint") -> str:
    return entry.dist.name if entry.dist is not None else entry.module
