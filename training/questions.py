"""Questions and answers about a photo, derived by rule from its captions, its category or its room questions.

Every rule reads what people wrote about the photo; none looks at pixels. A rule that is not sure says nothing.
"""

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from training.names import with_article

# What a thing is called, first the word that a question uses. A photo shows it if a caption has any of them.
THINGS: dict[str, tuple[str, ...]] = {
    name: (name, *others.split())
    for name, others in {
        "dog": "dogs puppy puppies poodle terrier retriever greyhound greyhounds collie doberman shepherd pitbull lab",
        "cat": "cats kitten kittens",
        "horse": "horses pony",
        "bird": "birds duck ducks seagull seagulls parrot pigeon pigeons geese goose",
        "cow": "cows bull",
        "man": "men guy guys gentleman male father",
        "woman": "women lady ladies female mother bride",
        "child": "children kid kids boy boys girl girls toddler toddlers baby infant",
        "boy": "boys",
        "girl": "girls",
        "baby": "babies infant toddler",
        "ball": "balls football basketball baseball softball volleyball soccer",
        "bicycle": "bicycles bike bikes bicyclist cyclist cyclists biker bmx biking",
        "motorcycle": "motorcycles motorbike motorcyclist motocross dirtbike",
        "car": "cars vehicle suv jeep",
        "truck": "trucks",
        "bus": "buses",
        "train": "trains subway",
        "boat": "boats canoe kayak raft sailboat ship",
        "skateboard": "skateboards skateboarder skateboarding skateboarders",
        "snowboard": "snowboards snowboarder snowboarding",
        "surfboard": "surfboards surfer surfing surfs",
        "frisbee": "frisbees disc",
        "guitar": "guitars",
        "umbrella": "umbrellas",
        "hat": "hats cap caps",
        "helmet": "helmets",
        "backpack": "backpacks",
        "bench": "benches",
        "tent": "tents",
        "kite": "kites",
        "flag": "flags",
        "swing": "swings swinging",
        "slide": "slides",
        "trampoline": "trampolines",
        "swimming pool": "pool",
        "beach": "beach shore shoreline coast",
        "snow": "snow snowy snow-covered",
        "mountain": "mountains mountainside mountaintop",
        "fountain": "fountains",
        "bridge": "bridges",
        "bed": "beds",
        "couch": "couches sofa",
        "cake": "cakes",
        "bottle": "bottles",
        "microphone": "microphones",
        "tennis racket": "racket racquet tennis",
        "sled": "sleds sledding",
        "rope": "ropes",
        "cellphone": "cellphones phone phones",
        "newspaper": "newspapers",
        "costume": "costumes",
        "flowers": "flower",
    }.items()
}
# Words that leave open whether the thing is there after all.
OPEN = {
    "man": "person people someone player players crowd group couple team rider boy skier climber hiker skateboarder snowboarder surfer biker cyclist worker band driver family adult adults officer child children kid kids he his him",
    "woman": "person people someone player players crowd group couple team rider girl skier climber hiker skateboarder snowboarder surfer biker cyclist worker band family adult adults child children kid kids she her",
    "child": "people person crowd family group someone young couple team players",
    "boy": "child children kid kids people young baby toddler family group crowd teenager teenagers players team",
    "girl": "child children kid kids people young baby toddler family group crowd teenager teenagers players team",
    "baby": "child children kid kids family boy girl",
    "horse": "pony jockey rider animal animals",
    "cow": "animal animals cattle",
    "cat": "animal animals",
    "dog": "animal animals",
    "bicycle": "rider racer helmet wheel",
    "motorcycle": "rider racer bike bikes biker helmet",
    "car": "street road traffic city race truck",
    "truck": "street road traffic city vehicle jeep car",
    "bus": "street road traffic city vehicle",
    "ball": "game play playing player players court goal hoop team tennis golf toy catch",
    "hat": "helmet hood headband costume uniform",
    "helmet": "bike bikes rider racing hat football uniform bicycle motorcycle skateboard snowboard hockey gear climber",
    "beach": "ocean sea sand sandy waves surf water",
    "snow": "ski skier skis skiing winter ice snowboard snowboarder snowboarding sled snowball",
    "mountain": "hill hills cliff rock rocks rocky ski skier climber snowboarder hiker",
    "boat": "water lake river ocean paddle rowing oars",
    "frisbee": "toy object catch catches",
    "tennis racket": "player game",
    "backpack": "hiker bag hiking",
    "surfboard": "wave waves board",
    "skateboard": "ramp trick rail skater board",
    "snowboard": "ski slope board",
    "rope": "climb climbing climber leash harness tube",
    "flowers": "garden plants",
    "couch": "room seat chair bed",
    "bed": "room couch blanket pillow",
    "swimming pool": "water swim swimming swims",
    "bench": "sit sits sitting park seat",
    "costume": "dressed outfit",
    "bottle": "drink drinking beer",
    "fountain": "water",
}
COLOURS = {
    colour: colour
    for colour in (
        "white",
        "black",
        "brown",
        "red",
        "blue",
        "green",
        "yellow",
        "orange",
        "pink",
        "purple",
        "silver",
        "tan",
        "gold",
    )
}
COLOURS |= {"gray": "grey", "grey": "grey", "golden": "gold", "blond": "blonde", "blonde": "blonde"}
COLOURED = (
    "shirt dress jacket coat hat car bike bicycle motorcycle truck bus dog ball shorts pants jeans helmet cap sweater vest skirt boat kayak canoe horse"
    " hair umbrella frisbee bag backpack outfit uniform suit swimsuit toy tent wall building snowsuit t-shirt jersey collar scarf couch chair slide cat bird"
).split()
PAIRS = {"shorts", "pants", "jeans", "flowers"}
COUNTS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
COUNT_WORDS = {
    0: "zero",
    1: "one",
    2: "two",
    3: "three",
    4: "four",
    5: "five",
    6: "six",
    7: "seven",
    8: "eight",
    9: "nine",
    10: "ten",
}
COUNTED = {
    "dogs": "dog", "men": "man", "women": "woman", "children": "child", "boys": "boy", "girls": "girl", "people": "person", "horses": "horse",
    "kids": "kid", "players": "player", "birds": "bird", "bikes": "bike", "cars": "car", "boats": "boat", "puppies": "puppy", "ladies": "lady",
}  # fmt: skip
ACTORS = "man woman boy girl dog child person baby lady guy kid skateboarder snowboarder surfer biker skier cyclist climber horse bird puppy player toddler".split()
PLACES = (
    "snow beach water grass street pool field park road sidewalk ocean river lake sand woods forest stage playground mountain city bench couch bed dirt"
    " trail track yard backyard kitchen swimming mud air lawn hill court ice stream room bridge desert garden restaurant"
).split()

ASK = {
    "caption": (
        "Describe the photo.", "Describe the picture.", "What is in this picture?", "Describe this image.", "What do you see?", "What's in the photo?",
        "Give a short caption.", "What is happening here?", "Caption this photo.", "What does the picture show?", "Tell me what you see in this photo.",
    ),
    "long": ("Describe the picture in detail.", "Describe the photo in more detail.", "Give a longer description.", "Tell me everything you see."),
    "name": ("What is this?", "What is this?", "What's this?", "What is the main thing in this picture?", "Name the object.", "What object is shown?", "What is it?"),
    "there": ("Is there {thing} in the picture?", "Is there {thing}?", "Do you see {thing}?", "Can you see {thing} in this photo?", "Does the picture show {thing}?"),
    "colour": ("What colour is the {thing}?", "What color is the {thing}?", "Which colour is the {thing}?"),
    "count": ("How many {things} are there?", "How many {things} do you see?", "How many {things} are in the picture?"),
    "doing": ("What is the {actor} doing?", "What's the {actor} doing?"),
    "where": ("Where is the {actor}?", "Where is this {actor}?"),
    "colour again": ("And what colour is it?", "What colour is it?", "And what color is it?"),
    "doing again": ("What is it doing?", "And what is it doing?"),
    "kind": ("What kind of animal is this?", "What animal is this?", "Which animal is in the picture?"),
    "people": ("Is there a person in the picture?", "Are there people in the picture?", "Is anyone in the photo?"),
}  # fmt: skip
UNKNOWABLE = (
    "What is the {actor}'s name?", "Where was this photo taken?", "What time is it?", "How old is the {actor}?", "Who took this picture?", "What day is it?",
    "Who is this?", "What is the {actor} thinking about?", "How much does it cost?", "What happened before this?",
)  # fmt: skip
CANNOT_TELL = "I can't tell from the picture."
READ = ("What does the sign say?", "What does it say?", "Read the text in the picture.", "What is written here?")
CANNOT_READ = "I can't read text in pictures."
PEOPLE = (
    "man men woman women boy boys girl girls child children kid kids baby toddler person people lady ladies guy guys couple family crowd player players"
    " skier surfer biker cyclist climber hiker skateboarder snowboarder rider team group someone swimmer runner worker band dancer he she his her"
).split()


@dataclass
class Exchange:
    """A question with the answers people could give to it, and what may be asked next."""

    question: str
    answers: list[str]
    task: str
    then: "list[Exchange]" = field(default_factory=list)
    complete: bool = True
    """Whether the answers end where they end; a cut one teaches nothing about stopping."""


def sentence(text: str) -> str:
    """`text` as one clean sentence: "A dog runs ." becomes "A dog runs."."""
    text = re.sub(r"\s+", " ", text).strip(" .\"'")
    text = re.sub(r" ([,;:!?])", r"\1", text).replace(" 's", "'s").replace(" n't", "n't")
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def words(text: str) -> list[str]:
    """The lower-case words of `text`, hyphens kept."""
    return re.findall(r"[a-z]+(?:-[a-z]+)?", text.lower())


def shown(captions: Sequence[str]) -> tuple[set[str], set[str]]:
    """The things that captions mention, and those that they rule out."""
    said = set(words(" ".join(captions)))
    there = {thing for thing, names in THINGS.items() if said & set(names)}
    absent = {thing for thing in THINGS if thing not in there and not said & set(OPEN.get(thing, "").split())}
    return there, absent


class Companions:
    """Which things appear together, so that a "no" question asks for something that could have been there."""

    def __init__(self, all_captions: Sequence[Sequence[str]]) -> None:
        self.alone: Counter[str] = Counter()
        self.pairs: dict[str, Counter[str]] = {thing: Counter() for thing in THINGS}
        for captions in all_captions:
            there, _ = shown(captions)
            self.alone.update(there)
            for thing in there:
                self.pairs[thing].update(there - {thing})

    def absent_thing(self, there: set[str], absent: set[str], rng: random.Random) -> str | None:
        """One of `absent`, as likely as it is usual, or usual beside what is there."""
        choices = sorted(absent)
        if not choices:
            return None
        if rng.random() < 0.5 and there:
            near = self.pairs[rng.choice(sorted(there))]
            weights = [near[thing] + 0.5 for thing in choices]
        else:
            weights = [self.alone[thing] + 1.0 for thing in choices]
        return rng.choices(choices, weights)[0]


def there_question(thing: str, rng: random.Random) -> str:
    """Whether a thing is there, in one of the wordings of that question."""
    named = thing if thing in ("snow", "flowers") else with_article(thing)
    question = rng.choice(ASK["there"]).format(thing=named)
    return question.replace("Is there flowers", "Are there flowers")


def colour_question(thing: str, rng: random.Random) -> str:
    """What colour a thing has, in one of the wordings of that question."""
    question = rng.choice(ASK["colour"]).format(thing=thing)
    return question.replace(" is the ", " are the ") if thing in PAIRS else question


def yes_no(captions: Sequence[str], companions: Companions, rng: random.Random) -> list[Exchange]:
    """One question whose answer is yes and one whose answer is no, where the captions allow."""
    there, absent = shown(captions)
    out = []
    if there:
        out.append(Exchange(there_question(rng.choice(sorted(there)), rng), ["Yes."], "there"))
    missing = companions.absent_thing(there, absent, rng)
    if missing:
        out.append(Exchange(there_question(missing, rng), ["No."], "there"))
    return out


def colours(captions: Sequence[str]) -> dict[str, str]:
    """The colour of each thing that captions agree on."""
    votes: dict[str, Counter[str]] = {}
    for caption in captions:
        tokens = words(caption)
        for position, token in enumerate(tokens[:-1]):
            if token not in COLOURS or (position and tokens[position - 1] in ("and", *COLOURS)):
                continue
            following = tokens[position + 1 : position + 3]
            thing = next((word for word in following[:1] if word in COLOURED), None)
            if thing:
                votes.setdefault(thing, Counter())[COLOURS[token]] += 1
    return {thing: next(iter(count)) for thing, count in votes.items() if len(count) == 1}


def counts(captions: Sequence[str]) -> dict[str, int]:
    """How many of each thing there are, where captions agree."""
    votes: dict[str, Counter[int]] = {}
    said = words(" ".join(captions))
    for caption in captions:
        tokens = words(caption)
        for position, token in enumerate(tokens):
            if token in COUNTS:
                plural = next((word for word in tokens[position + 1 : position + 4] if word in COUNTED), None)
                if plural:
                    votes.setdefault(plural, Counter())[COUNTS[token]] += 1
    out = {plural: next(iter(count)) for plural, count in votes.items() if len(count) == 1}
    for plural, singular in COUNTED.items():
        mentions = sum(
            1 for caption in captions if re.search(rf"\b(?:a|an|one)\b(?: [\w-]+){{0,2}} {singular}\b", caption.lower())
        )
        if plural not in said and plural not in out and mentions >= 3:
            out[plural] = 1
    return out


def doing(captions: Sequence[str]) -> dict[str, list[str]]:
    """What each actor does, as said after its "is": "A dog is running in the snow" gives running in the snow."""
    out: dict[str, list[str]] = {}
    for caption in captions:
        match = re.match(
            rf"^(?:a|an|the)\b(?: [\w-]+){{0,4}}? ({'|'.join(ACTORS)})\b(?: [\w' -]+?)??(?: is| are)? (\w+ing\b.*)$",
            sentence(caption).lower(),
        )
        if match and match.group(2).split()[0] not in (
            "wearing",
            "during",
            "bathing",
            "swimming",
            "something",
            "building",
            "clothing",
            "railing",
            "swing",
        ):
            out.setdefault(match.group(1), []).append(sentence(match.group(2)))
    return out


def places(captions: Sequence[str]) -> str | None:
    """Where the photo plays, in the words of the captions that agree most."""
    votes: Counter[str] = Counter()
    for caption in captions:
        for preposition, rest in re.findall(
            rf"\b(in|on|at|through|across|along) ((?:the|a) (?:[\w-]+ ){{0,2}}?(?:{'|'.join(PLACES)}))\b",
            caption.lower(),
        ):
            votes[f"{'in' if preposition in ('through', 'across', 'along') else preposition} {rest}"] += 1
    return votes.most_common(1)[0][0] if votes else None


def main_actor(captions: Sequence[str]) -> str | None:
    """The one that most captions begin with."""
    first = Counter(
        match.group(1)
        for caption in captions
        if (match := re.match(rf"^(?:a|an|the|one)\b(?: [\w-]+){{0,4}}? ({'|'.join(ACTORS)})\b", caption.lower()))
    )
    return next((actor for actor, count in first.most_common(1) if count >= 2), None)


def about_captions(captions: Sequence[str], companions: Companions, rng: random.Random) -> list[Exchange]:
    """All exchanges that the captions of one photo allow; the plain caption is first."""
    clean = [text for caption in captions if (text := sentence(caption))]
    rng.shuffle(clean)
    out = [Exchange(rng.choice(ASK["caption"]), clean, "caption")]
    others: list[Exchange] = []
    if len(clean) >= 3:
        others.append(Exchange(rng.choice(ASK["long"]), [" ".join(sorted(clean[:3], key=len, reverse=True))], "long"))
    out += yes_no(clean, companions, rng)
    colour_of = colours(clean)
    for thing, colour in colour_of.items():
        others.append(Exchange(colour_question(thing, rng), [sentence(colour)], "colour"))
    for plural, count in counts(clean).items():
        others.append(Exchange(rng.choice(ASK["count"]).format(things=plural), [sentence(COUNT_WORDS[count])], "count"))
    actor = main_actor(clean)
    acts = doing(clean)
    for who, answers in acts.items():
        others.append(Exchange(rng.choice(ASK["doing"]).format(actor=who), answers[:2], "doing"))
    place = places(clean)
    if actor:
        name = Exchange(rng.choice(ASK["name"]), [sentence(with_article(actor))], "name")
        if actor in colour_of:
            name.then.append(Exchange(rng.choice(ASK["colour again"]), [sentence(colour_of[actor])], "colour"))
        elif actor in acts:
            name.then.append(Exchange(rng.choice(ASK["doing again"]), acts[actor][:1], "doing"))
        others.append(name)
        if place:
            others.append(Exchange(rng.choice(ASK["where"]).format(actor=actor), [sentence(place)], "where"))
    others += beyond_captions(clean, actor, companions, rng)
    rng.shuffle(others)
    return out + others


def beyond_captions(
    captions: Sequence[str], actor: str | None, companions: Companions, rng: random.Random
) -> list[Exchange]:
    """Questions whose answer is who is there at all, or that nobody can tell; each now and then."""
    others: list[Exchange] = []
    if rng.random() < 0.35:
        anyone = bool(set(PEOPLE) & set(words(" ".join(captions))))
        others.append(Exchange(rng.choice(ASK["people"]), ["Yes." if anyone else "No."], "there"))
    there, absent = shown(captions)
    if rng.random() < 0.08:
        others.append(Exchange(rng.choice(READ), [CANNOT_READ], "unknowable"))
    if rng.random() < 0.25:
        others.append(Exchange(rng.choice(UNKNOWABLE).format(actor=actor or "person"), [CANNOT_TELL], "unknowable"))
    missing = companions.absent_thing(there, absent, rng)
    if missing and rng.random() < 0.4 and missing not in ("snow", "beach"):
        others.append(
            Exchange(colour_question(missing, rng), [f"I can't see {with_article(missing)} in the picture."], "absent")
        )
    return others


def about_thing(name: str, kind: str | None, guess: str | None, rng: random.Random) -> list[Exchange]:
    """Exchanges about a photo of one thing called `name`, a `kind` of thing; with a `guess`, it is doubted as that."""
    named = with_article(name)
    if guess:
        doubt = f"It may be {with_article(guess)}."
        return [
            Exchange(rng.choice(ASK["name"]), [f"I'm not sure. {doubt}"], "doubt"),
            Exchange(rng.choice(ASK["caption"]), [f"I'm not sure what this is. {doubt}"], "doubt"),
        ]
    out = [Exchange(rng.choice(ASK["name"]), [sentence(named)], "name")]
    form = rng.choice(("A photo of {}.", "A picture of {}.", "A close-up of {}.", "{}."))
    out.append(Exchange(rng.choice(ASK["caption"]), [sentence(form.format(named))], "thing caption"))
    out.append(Exchange(there_question(kind if kind and rng.random() < 0.4 else name, rng), ["Yes."], "there"))
    absent = set(THINGS) - {name, kind or name} - ({"man", "woman"} if name == "face" else set())
    out.append(Exchange(there_question(rng.choice(sorted(absent)), rng), ["No."], "there"))
    if kind and kind != name:
        out.append(Exchange(rng.choice(ASK["kind"]), [sentence(with_article(kind))], "name"))
    if name not in ("face", "person"):
        out.append(Exchange(rng.choice(ASK["people"]), ["No."], "there"))
    if rng.random() < 0.2:
        out.append(Exchange(rng.choice(UNKNOWABLE[1:3]), [CANNOT_TELL], "unknowable"))
    rng.shuffle(out)
    return out


def about_room(asked: Sequence[tuple[str, str]], companions: Companions, rng: random.Random) -> list[Exchange]:
    """Exchanges about a photo of a room: its (question, answer) pairs, and what follows from them."""
    out = [Exchange(room_question(question), [room_answer(answer)], "room") for question, answer in asked]
    rng.shuffle(out)
    things = Counter(thing.strip().replace("_", " ") for _, answer in asked for thing in answer.split(","))
    named = [thing for thing in things if thing and not thing.isdigit() and thing not in COLOURS]
    if not named:
        return out
    rng.shuffle(named)
    said = [thing if thing.endswith("s") else with_article(thing) for thing in named[:3]]
    listed = said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}"
    more = [
        Exchange(rng.choice(ASK["caption"]), [f"A room with {listed}."], "room caption"),
        Exchange(
            there_question(named[0], rng) if not named[0].endswith("s") else f"Are there {named[0]}?", ["Yes."], "there"
        ),
        Exchange(
            there_question(
                companions.absent_thing(set(), set(THINGS) - {"bed", "couch", "bottle", "flowers"} - set(named), rng)
                or "horse",
                rng,
            ),
            ["No."],
            "there",
        ),
    ]
    return [*more, *out] if rng.random() < 0.5 else [*out[:4], *more, *out[4:]]


def room_answer(answer: str) -> str:
    """A room answer as it is taught: "garbage_bin, chair" becomes "Garbage bin, chair.", "2" becomes "Two."."""
    things = [thing.strip().replace("_", " ") for thing in answer.split(",")]
    return sentence(", ".join(COUNT_WORDS.get(int(thing), thing) if thing.isdigit() else thing for thing in things))


def room_question(question: str) -> str:
    """A room question as a person would type it."""
    return f"{question[:1].upper()}{question[1:].strip(' ?')}?"
