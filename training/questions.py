"""Derive questions and answers about an image from its captions, its category or its room questions.

`caption_rules` extracts the facts, `question_tables` holds words and wordings.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from training.caption_rules import (
    Cooccurrence,
    find_actions,
    find_colours,
    find_counts,
    find_main_actor,
    find_place,
    lower_words,
    present_and_absent,
    to_sentence,
)
from training.names import with_article
from training.question_tables import (
    CANNOT_READ,
    CANNOT_TELL,
    COLOURS,
    NUMBER_WORDS,
    OBJECT_WORDS,
    PERSON_WORDS,
    PLURAL_OBJECTS,
    QUESTION_TEMPLATES,
    READING_QUESTIONS,
    UNANSWERABLE_QUESTIONS,
)


@dataclass
class Exchange:
    """A question about an image with its answers.

    Attributes:
        question: The question.
        answers: Answers that people could give; each is trained on.
        task: Kind of question, under which losses and dev figures are reported.
        follow_ups: Exchanges that may follow the first answer.
        complete: True if the answers end where they end. A truncated answer is trained on without an end of turn.
    """

    question: str
    answers: list[str]
    task: str
    follow_ups: "list[Exchange]" = field(default_factory=list)
    complete: bool = True


def presence_question(name: str, rng: random.Random) -> str:
    """Ask whether the object `name` is in the image."""
    with_determiner = name if name in ("snow", "flowers") else with_article(name)
    question = rng.choice(QUESTION_TEMPLATES["there"]).format(thing=with_determiner)
    return question.replace("Is there flowers", "Are there flowers")


def colour_question(name: str, rng: random.Random) -> str:
    """Ask for the colour of the object `name`."""
    question = rng.choice(QUESTION_TEMPLATES["colour"]).format(thing=name)
    return question.replace(" is the ", " are the ") if name in PLURAL_OBJECTS else question


def yes_no_exchanges(captions: Sequence[str], cooccurrence: Cooccurrence, rng: random.Random) -> list[Exchange]:
    """Return one question to which the answer is yes and one to which it is no, as far as the captions allow."""
    present, absent = present_and_absent(captions)
    out = []
    if present:
        out.append(Exchange(presence_question(rng.choice(sorted(present)), rng), ["Yes."], "there"))
    missing = cooccurrence.sample_absent(present, absent, rng)
    if missing:
        out.append(Exchange(presence_question(missing, rng), ["No."], "there"))
    return out


def uncertain_exchanges(guess: str, rng: random.Random) -> list[Exchange]:
    """Return exchanges about an image whose content is in doubt; its most probable class is `guess`."""
    doubt = f"It may be {with_article(guess)}."
    return [
        Exchange(rng.choice(QUESTION_TEMPLATES["name"]), [f"I'm not sure. {doubt}"], "doubt"),
        Exchange(rng.choice(QUESTION_TEMPLATES["caption"]), [f"I'm not sure what this is. {doubt}"], "doubt"),
    ]


def caption_exchanges(captions: Sequence[str], cooccurrence: Cooccurrence, rng: random.Random) -> list[Exchange]:
    """Return all exchanges that the captions of one image allow. The plain caption comes first."""
    clean = [text for caption in captions if (text := to_sentence(caption))]
    rng.shuffle(clean)
    out = [Exchange(rng.choice(QUESTION_TEMPLATES["caption"]), clean, "caption")]
    others: list[Exchange] = []
    if len(clean) >= 3:
        longest = " ".join(sorted(clean[:3], key=len, reverse=True))
        others.append(Exchange(rng.choice(QUESTION_TEMPLATES["long"]), [longest], "long"))
    out += yes_no_exchanges(clean, cooccurrence, rng)
    colours = find_colours(clean)
    for name, colour in colours.items():
        others.append(Exchange(colour_question(name, rng), [to_sentence(colour)], "colour"))
    for plural, count in find_counts(clean).items():
        question = rng.choice(QUESTION_TEMPLATES["count"]).format(things=plural)
        others.append(Exchange(question, [to_sentence(NUMBER_WORDS[count])], "count"))
    main_actor = find_main_actor(clean)
    actions = find_actions(clean)
    for actor, answers in actions.items():
        others.append(Exchange(rng.choice(QUESTION_TEMPLATES["doing"]).format(actor=actor), answers[:2], "doing"))
    if main_actor:
        others += _actor_exchanges(main_actor, colours, actions, find_place(clean), rng)
    others += _occasional_exchanges(clean, main_actor, cooccurrence, rng)
    rng.shuffle(others)
    return out + others


def _actor_exchanges(
    actor: str, colours: dict[str, str], actions: dict[str, list[str]], place: str | None, rng: random.Random
) -> list[Exchange]:
    """Ask for the name of the main actor, with one follow-up question, and for the place."""
    name = Exchange(rng.choice(QUESTION_TEMPLATES["name"]), [to_sentence(with_article(actor))], "name")
    if actor in colours:
        again = rng.choice(QUESTION_TEMPLATES["colour again"])
        name.follow_ups.append(Exchange(again, [to_sentence(colours[actor])], "colour"))
    elif actor in actions:
        again = rng.choice(QUESTION_TEMPLATES["doing again"])
        name.follow_ups.append(Exchange(again, actions[actor][:1], "doing"))
    if not place:
        return [name]
    question = rng.choice(QUESTION_TEMPLATES["where"]).format(actor=actor)
    return [name, Exchange(question, [to_sentence(place)], "where")]


def _occasional_exchanges(
    captions: Sequence[str], actor: str | None, cooccurrence: Cooccurrence, rng: random.Random
) -> list[Exchange]:
    """Return, each with some probability, a question about people and questions that cannot be answered."""
    others: list[Exchange] = []
    if rng.random() < 0.35:
        anyone = bool(set(PERSON_WORDS) & set(lower_words(" ".join(captions))))
        others.append(Exchange(rng.choice(QUESTION_TEMPLATES["people"]), ["Yes." if anyone else "No."], "there"))
    present, absent = present_and_absent(captions)
    if rng.random() < 0.08:
        others.append(Exchange(rng.choice(READING_QUESTIONS), [CANNOT_READ], "unknowable"))
    if rng.random() < 0.25:
        question = rng.choice(UNANSWERABLE_QUESTIONS).format(actor=actor or "person")
        others.append(Exchange(question, [CANNOT_TELL], "unknowable"))
    missing = cooccurrence.sample_absent(present, absent, rng)
    if missing and rng.random() < 0.4 and missing not in ("snow", "beach"):
        answer = f"I can't see {with_article(missing)} in the picture."
        others.append(Exchange(colour_question(missing, rng), [answer], "absent"))
    return others


def object_exchanges(name: str, family: str | None, rng: random.Random) -> list[Exchange]:
    """Return exchanges about an image of one object.

    Args:
        name: Name of the object.
        family: Everyday word for its family, if there is one.
        rng: Chooses the wordings.
    """
    named = with_article(name)
    out = [Exchange(rng.choice(QUESTION_TEMPLATES["name"]), [to_sentence(named)], "name")]
    form = rng.choice(("A photo of {}.", "A picture of {}.", "A close-up of {}.", "{}."))
    out.append(Exchange(rng.choice(QUESTION_TEMPLATES["caption"]), [to_sentence(form.format(named))], "thing caption"))
    out.append(Exchange(presence_question(family if family and rng.random() < 0.4 else name, rng), ["Yes."], "there"))
    absent = set(OBJECT_WORDS) - {name, family or name} - ({"man", "woman"} if name == "face" else set())
    out.append(Exchange(presence_question(rng.choice(sorted(absent)), rng), ["No."], "there"))
    if family and family != name:
        out.append(Exchange(rng.choice(QUESTION_TEMPLATES["kind"]), [to_sentence(with_article(family))], "name"))
    if name not in ("face", "person"):
        out.append(Exchange(rng.choice(QUESTION_TEMPLATES["people"]), ["No."], "there"))
    if rng.random() < 0.2:
        out.append(Exchange(rng.choice(UNANSWERABLE_QUESTIONS[1:3]), [CANNOT_TELL], "unknowable"))
    rng.shuffle(out)
    return out


def room_exchanges(asked: Sequence[tuple[str, str]], cooccurrence: Cooccurrence, rng: random.Random) -> list[Exchange]:
    """Return exchanges about an image of a room: its (question, answer) pairs, and exchanges that follow from them."""
    out = [Exchange(room_question(question), [room_answer(answer)], "room") for question, answer in asked]
    rng.shuffle(out)
    objects = Counter(name.strip().replace("_", " ") for _, answer in asked for name in answer.split(","))
    named = [name for name in objects if name and not name.isdigit() and name not in COLOURS]
    if not named:
        return out
    rng.shuffle(named)
    phrases = [name if name.endswith("s") else with_article(name) for name in named[:3]]
    listed = phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"
    caption = Exchange(rng.choice(QUESTION_TEMPLATES["caption"]), [f"A room with {listed}."], "room caption")
    question = f"Are there {named[0]}?" if named[0].endswith("s") else presence_question(named[0], rng)
    # What a room may well have, whether or not anybody asked about it, is not denied.
    absent = set(OBJECT_WORDS) - {"bed", "couch", "bottle", "flowers"} - set(named)
    missing = cooccurrence.sample_absent(set(), absent, rng) or "horse"
    more = [
        caption,
        Exchange(question, ["Yes."], "there"),
        Exchange(presence_question(missing, rng), ["No."], "there"),
    ]
    return [*more, *out] if rng.random() < 0.5 else [*out[:4], *more, *out[4:]]


def room_answer(answer: str) -> str:
    """Return a room answer in words: "garbage_bin, chair" becomes "Garbage bin, chair.", "2" becomes "Two."."""
    names = [name.strip().replace("_", " ") for name in answer.split(",")]
    return to_sentence(", ".join(NUMBER_WORDS.get(int(name), name) if name.isdigit() else name for name in names))


def room_question(question: str) -> str:
    """Return a room question as a person would type it."""
    return f"{question[:1].upper()}{question[1:].strip(' ?')}?"
