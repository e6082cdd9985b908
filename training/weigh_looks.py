"""Print what each part of a description gives on dev images, and at which threshold.

    python -m training.weigh_looks --data DATA --work WORK

Reads what `training.looks` wrote. For photos of Flickr8k: how many things are stated, the share of them that the five
captions do not rule out, and the share of the captions' things that are stated, beside the small model's caption alone,
and with the captions of another photo as a control. For photos of objects: how often an accepted name is said. The
thresholds in `assistant/models/pocket/` (`kinds`, `things`, `doubt`) were chosen by it.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

from assistant.models.pocket import doubt, things
from assistant.models.pocket.describe import weighed_kinds
from assistant.models.pocket.image_description import Certainty, ImageDescription
from assistant.models.pocket.kinds import choose_kinds, kind_probabilities
from assistant.models.pocket.recognizer import Recognition
from training.caption_rules import present_and_absent
from training.evaluation_tasks import shuffled_pairs
from training.looks import read_looks, truths
from training.metrics import percentage
from training.names import ACCEPTED_NAMES, contains_name

_CLASSES = 1000
_CAPTION_THRESHOLDS = ((0.1, 0.05), (0.25, 0.1), (0.35, 0.15), (0.5, 0.25), (0.6, 0.3))
_THING_THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6)
_QUARTER_THRESHOLDS = (0.3, 0.4, 0.5, 0.6)
Look = Mapping[str, Any]


def recognition(look: Mapping[str, Any]) -> Recognition:
    """Return the likeliest classes and words of a look; the others count as 0."""
    classes = [0.0] * _CLASSES
    for number, probability in look["classes"]:
        classes[number] = probability
    return Recognition(classes, dict(look["words"]))


def describe(look: Look, names: Sequence[str], parts: Sequence[str] = ("caption", "kinds", "things")) -> str:
    """Return the description of a photo made of some of the parts."""
    seen = recognition(look)
    kinds = choose_kinds(seen.classes, names, seen.words) if "kinds" in parts else ()
    caption = None
    if "caption" in parts:
        caption = doubt.believable_part(look["caption"], seen.words, kind_probabilities(seen.classes, names))
    said = things.words_said(caption or "", *(kind.name for kind in kinds if kind.certainty is not Certainty.UNSURE))
    others = things.choose_things(seen.words, said) if "things" in parts else ()
    return ImageDescription(weighed_kinds(kinds, caption, others), caption, others).as_text()


def quarter_things(look: Look, least: float) -> str:
    """Return the things that are likely in a quarter of a photo only."""
    whole = things.choose_things(recognition(look).words)
    found = {
        name
        for quarter in look["quarters"]
        for name in things.THINGS
        if name not in (*whole, *things.PEOPLE) and things.probability_of(name, dict(quarter["words"])) >= least
    }
    return ", ".join(sorted(found))


def support(texts: Sequence[str], captions: Sequence[Sequence[str]]) -> str:
    """Return the line of the table for the texts about some photos."""
    stated = [present_and_absent([text])[0] for text in texts]
    facts = [present_and_absent(each) for each in captions]
    count = sum(map(len, stated))
    wrong = sum(len(names & absent) for names, (_, absent) in zip(stated, facts, strict=True))
    told = sum(len(names & present) for names, (present, _) in zip(stated, facts, strict=True))
    recall = 100 * told / max(1, sum(len(present) for present, _ in facts))
    return f"{count:5} stated  {100 * (1 - wrong / max(1, count)):5.1f} % supported  {recall:5.1f} % of the captions'"


def print_scenes(looks: Sequence[Look], captions: Sequence[Sequence[str]], names: Sequence[str]) -> None:
    """Print the table for photos with captions."""
    others = [captions[other] for other in shuffled_pairs(len(looks))]

    def show(label: str, text_of: Callable[[Look], str]) -> list[str]:
        texts = [text_of(look) for look in looks]
        print(f"{label:34} {support(texts, captions)}")
        return texts

    for label, text_of in (
        ("small model's caption", lambda look: look["caption"]),
        ("all parts", lambda look: describe(look, names)),
    ):
        texts = show(label, text_of)
        print(f"{'  control: of another photo':34} {support(texts, others)}")
    for part in ("caption", "kinds", "things"):
        show(f"{part} alone", lambda look, part=part: describe(look, names, (part,)))  # type: ignore[misc]
    for subject, other in _CAPTION_THRESHOLDS:
        with patch.multiple(doubt, _MIN_SUBJECT=subject, _MIN_OTHER=other):
            show(f"caption from {subject}, {other}", lambda look: describe(look, names, ("caption",)))
    for least in _THING_THRESHOLDS:
        with patch.object(things, "_MIN_PROBABILITY", least):
            show(f"things from {least}", lambda look: describe(look, names, ("things",)))
    for least in _QUARTER_THRESHOLDS:
        show(f"added by quarters from {least}", lambda look, least=least: quarter_things(look, least))  # type: ignore[misc]


def print_objects(looks: Sequence[Look], accepted: Sequence[tuple[str, ...]], names: Sequence[str]) -> None:
    """Print how often an accepted name is said of photos of objects."""
    own = [describe(look, names) for look in looks]
    for label, texts in (("small model's caption", [look["caption"] for look in looks]), ("all parts", own)):
        right = percentage(contains_name(text, each) for text, each in zip(texts, accepted, strict=True))
        print(f"{label:34} {right:5.1f} % named of {len(looks)}")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    known, looks = truths(arguments.data), read_looks(arguments.work)
    names = [row[0]["name"] for row in known["imagenet1000"].values()]
    scenes = [look for look in looks if look["dataset"] == "flickr8k"]
    print_scenes(scenes, [known["flickr8k"][look["image"]][0]["captions"] for look in scenes], names)
    objects = [look for look in looks if look["dataset"] == "caltech101"]
    accepted = [ACCEPTED_NAMES[known["caltech101"][look["image"]][0]["name"]] for look in objects]
    print_objects(objects, accepted, names)


if __name__ == "__main__":
    main()
