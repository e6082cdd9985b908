"""Choose which other things are said to be in an image, by the words that a caption of it would probably use."""

import math
from collections.abc import Collection, Mapping

# Least probability that a caption uses one of the words of a thing. On dev photos of Flickr8k a caption names 9 of 10
# things from captions that pass; those of rooms were learned from questions that name few of the things in a photo, and
# need more.
_MIN_PROBABILITY, _MIN_IN_ROOMS = 0.3, 0.7
_MAX_THINGS = 6

PEOPLE = ("a man", "a woman", "a boy", "a girl", "a child", "a baby", "a person", "a player")
"""Things of which one is named: the same person may be a man, a player and a person."""

# Words of the word head that stand for each thing. Words for colours, actions and places say nothing by themselves.
THINGS: dict[str, tuple[str, ...]] = {
    name: tuple(words.split(", "))
    for name, words in {
        "a man": "man, men, guy, guys, male",
        "a woman": "woman, women, lady, ladies, female",
        "a boy": "boy, boys",
        "a girl": "girl, girls",
        "a child": "child, children, kid, kids, toddler",
        "a baby": "baby",
        "people": "people, group, crowd, crowded, couple, family, team, adults, spectators, onlookers",
        "a person": "person, adult",
        "a player": "player, players",
        "a cyclist": "biker, cyclist, bicyclist",
        "a skateboarder": "skateboarder",
        "a surfer": "surfer",
        "a skier": "skier",
        "a climber": "climber",
        "a dog": "dog, dogs, puppy, retriever, greyhound, shepherd",
        "a horse": "horse, horses",
        "a bird": "bird",
        "a ball": "ball, soccer, football, basketball, baseball, tennis",
        "a racket": "racket",
        "a toy": "toy, toys",
        "a stick": "stick, sticks",
        "a bicycle": "bicycle, bike, bikes, bicycles, bmx",
        "a motorcycle": "motorcycle, motorbike, motocross",
        "a skateboard": "skateboard, skateboards, skateboarding",
        "a snowboard": "snowboard, snowboarder, snowboarding",
        "a surfboard": "surfboard, surfing, surf",
        "skis": "ski, skis, skiing",
        "a sled": "sled",
        "a car": "car, cars",
        "a truck": "truck",
        "a train": "train, subway",
        "a boat": "boat",
        "a canoe": "canoe, kayak",
        "a helmet": "helmet, helmets",
        "a hat": "hat, hats, cap",
        "sunglasses": "sunglasses",
        "glasses": "glasses, goggles",
        "a jacket": "jacket, jackets, coat",
        "a shirt": "shirt, t-shirt, shirts, jersey",
        "a dress": "dress, dresses",
        "a uniform": "uniform, uniforms",
        "a costume": "costume, costumes",
        "a backpack": "backpack",
        "a bag": "bag, bags, purse",
        "an umbrella": "umbrella",
        "a flag": "flag",
        "a guitar": "guitar",
        "a camera": "camera",
        "flowers": "flowers, flower",
        "a rope": "rope",
        "a net": "net",
        "a goal": "goal",
        "a bench": "bench",
        "a swing": "swing, swings, swinging",
        "a slide": "slide",
        "a playground": "playground",
        "a fence": "fence, fenced",
        "a railing": "railing, rail",
        "stairs": "stairs, steps",
        "a ramp": "ramp",
        "a wall": "wall, brick",
        "a building": "building, buildings, house",
        "a street": "street, road, sidewalk, traffic",
        "a bridge": "bridge",
        "water": "water, splash, splashing, wet",
        "a swimming pool": "pool",
        "the sea": "ocean, waves, wave",
        "a river or lake": "river, lake, stream, creek, pond",
        "a fountain": "fountain",
        "a beach": "beach, shore, sand, sandy",
        "snow": "snow, snowy, snow-covered",
        "ice": "ice",
        "grass": "grass, grassy, lawn",
        "a field": "field",
        "mud or dirt": "mud, muddy, dirt",
        "a mountain": "mountain, mountains",
        "rocks": "rock, rocks, rocky, cliff",
        "trees": "tree, trees, woods, forest, wooded",
        "leaves": "leaves",
        "the sky": "sky",
        "a sunset": "sunset",
        "a fire": "fire",
    }.items()
}
THINGS_IN_ROOMS: dict[str, tuple[str, ...]] = {
    name: tuple(words.split(", "))
    for name, words in {
        "a sofa": "sofa, couch",
        "a chair": "chair, chairs",
        "a table": "table",
        "a bed": "bed",
        "a pillow": "pillow",
        "a blanket": "blanket, comforter",
        "a window": "window",
        "a door": "door",
        "a curtain": "curtain",
        "blinds": "blinds",
        "a lamp": "lamp",
        "a mirror": "mirror",
        "a picture on the wall": "wall decoration",
        "a carpet": "carpet, rug",
        "shelves": "shelves, bookshelf",
        "a cupboard": "cabinet, wardrobe",
        "drawers": "drawer",
        "a night stand": "night stand",
        "a television": "television",
        "a computer": "computer",
        "a monitor": "monitor",
        "a laptop": "laptop",
        "a printer": "printer",
        "a telephone": "telephone, phone, cellphone",
        "a whiteboard": "whiteboard",
        "books": "books, book",
        "a bottle": "bottle",
        "a cup": "cup",
        "a bowl": "bowl",
        "a plate": "plate",
        "food": "food, eating",
        "a drink": "drink, drinking",
        "a box": "box",
        "a basket": "basket",
        "a bin": "garbage bin",
        "a sink": "sink",
        "a tap": "faucet",
        "a toilet": "toilet",
        "a bathtub": "bathtub",
        "a towel": "towel",
        "a cooker": "stove, oven",
        "a microwave oven": "microwave",
        "a fridge": "refridgerator",
        "a dishwasher": "dishwasher",
        "a fireplace": "fireplace",
        "a plant": "plant, plants",
        "a vase": "vase",
        "a clock": "clock",
        "a fan": "ceiling fan, fan",
    }.items()
}


def choose_things(words: Mapping[str, float], said: Collection[str] = ()) -> tuple[str, ...]:
    """Return the things that are probably in an image, the likeliest first.

    Args:
        words: Probability that a caption of the image uses each word.
        said: Words that are said of the image anyway; their things are left out.
    """
    likely: dict[str, float] = {}
    for table, least in ((THINGS, _MIN_PROBABILITY), (THINGS_IN_ROOMS, _MIN_IN_ROOMS)):
        for name, group in table.items():
            probability = probability_of(name, words)
            if probability >= least and not set(group).intersection(said):
                likely[name] = probability
    ranked = sorted(likely, key=lambda name: -likely[name])
    # A caption that speaks of a person means this one.
    is_said = any(set(THINGS[name]).intersection(said) for name in PEOPLE)
    person = None if is_said else next((name for name in ranked if name in PEOPLE), None)
    return tuple(name for name in ranked if name == person or name not in PEOPLE)[:_MAX_THINGS]


def probability_of(name: str, words: Mapping[str, float]) -> float:
    """Return the probability that a caption of the image uses one word of a thing or another."""
    group = THINGS.get(name) or THINGS_IN_ROOMS[name]
    return 1 - math.prod(1 - words.get(word, 0.0) for word in group)


def words_said(*texts: str) -> set[str]:
    """Return the words of texts in lower case, of which the things are not to be said again."""
    return set(" ".join(texts).lower().replace(".", " ").replace(",", " ").split())
