"""Choose what the main thing in an image is called, as exactly as the classifier knows it and no more.

ImageNet's classes are narrow: a dog spreads over 118 breeds, none of which may be likely although the dog is. So
classes belong to groups, and groups to broader ones, and the narrowest name is taken that is likely enough. The names
that are left exclude each other: "Egyptian cat" and "tabby" are guesses about one cat.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from assistant.models.pocket.image_description import Certainty, Kind
from assistant.models.pocket.things import THINGS_IN_ROOMS, probability_of

SURE, LIKELY = 0.8, 0.5
_MIN_GUESS = 0.08
_MAX_GUESSES = 3

PAGE = "page or screen with text"

# Numbers of ImageNet's classes, which keep related ones together: "151-268" is a range. Narrow groups come first, and a
# class belongs to every group that lists it.
GROUPS: dict[str, str] = {
    "dog": "151-268",
    "wolf": "269-272",
    "fox": "277-280",
    "cat": "281-285",
    "big cat": "286-293",
    "bear": "294-297",
    "rabbit": "330-332",
    "rodent": "333-338",
    "horse": "339",
    "pig": "341-343",
    "cow": "345-347",
    "sheep or goat": "348-350",
    "antelope": "351-353",
    "weasel": "356-362",
    "ape": "365-369",
    "monkey": "370-384",
    "elephant": "101 385-386",
    "panda": "387-388",
    "whale": "147-148",
    "shark": "2-4",
    "fish": "0-1 389-397",
    "chicken": "7-8",
    "parrot": "87-90",
    "duck or goose": "97-99",
    "bird": "7-24 80-100 127-146",
    "newt or salamander": "25-29",
    "frog": "30-32",
    "turtle": "33-37",
    "lizard": "38-48",
    "crocodile": "49-50",
    "snake": "52-68",
    "spider": "70 72-77",
    "crab": "118-121 125",
    "lobster": "122-124",
    "snail": "113-115",
    "beetle": "300-307",
    "butterfly": "321-326",
    "dragonfly": "319-320",
    "insect": "300-326",
    "car": "407 436 468 511 609 627 656 661 717 734 751 817",
    "truck": "555 569 675 717 864 867",
    "bus": "654 779 874",
    "train": "466 547 565 705 820 829",
    "boat": "472 484 554 576 625 780 814 871 914",
    "ship": "403 510 628",
    "aircraft": "404-405 895 908",
    "bicycle": "444 671 880",
    "motorbike": "665 670",
    "guitar": "402 546",
    "piano": "579 881",
    "violin": "486 889",
    "drum": "541 822",
    "brass instrument": "513 566 875",
    "musical instrument": "401-402 420 432 486 513 541 546 558 566 579 "
    "593-594 641-642 683-684 687 699 776 822 875 881 889",
    "ball": "429-430 522 574 722 768 805 852 890",
    "telephone": "487 528 707",
    "computer": "527 590 620",
    "screen": "664 782 851",
    "keyboard": "508 810 878",
    "camera": "732 759",
    "clock": "409 530 892",
    "watch": "531 826",
    "bottle": "440 720 737 898 901 907",
    "jug or pitcher": "725 899 901",
    "pot": "469 505 521 544 738 849",
    "cup": "504 647 967-968",
    "lamp": "619 818 846",
    "chair": "423 559 765 857",
    "bed": "516 520 564",
    "table": "526 532 736",
    "cupboard": "453 493 495 648 894",
    "hat": "433 439 452 515 667 793 808",
    "helmet": "518 560 715",
    "shoe": "502 514 630 770 774",
    "swimwear": "445 638-639 842",
    "piece of clothing": "399-400 411 474 501 529 568 578 601 608 610 614 617 652 655 "
    "689 697 735 775 824 834 841 869 887",
    "bag": "414 636 728 748",
    "pair of glasses": "836-837",
    "gun": "413 763-764",
    "rocket": "657 744 812",
    "tool": "473 477 499 512 587 596 740 783-784 792",
    "church": "425 497 663 668 832",
    "building": "410 425 442 449 483 497 500 538 580 663 668 698 727 743 762 832 853 858 900 915",
    "shop": "415 424 454 467 509 582 788 860 865",
    "bridge": "821 839 888",
    "fence": "489 716 912",
    "wall": "825",
    "bread": "930-932",
    "sandwich": "933-934",
    "dessert": "927-929",
    "fruit": "948-957",
    "vegetable": "936-946 987",
    "food": "924-965",
    "flower": "985-986",
    "mushroom": "947 991-997",
    "mountain": "970 972 979-980",
    "coast": "975-978",
    PAGE: "916-918 921-922",
    "sign": "919-920",
    "animal": "0-68 70-397",
    "vehicle": "403-405 407 436 444 466 468 472 484 510-511 547 554-555 561 565 569 573 "
    "575-576 586 603 609 612 625 627-628 654 656 661 665 670-671 675 690 705 717 734 751 757 779-780 802-803 812 "
    "814 817 820 829 833 847 864 866-867 870-871 "
    "874 880 895 914",
}

# Names that few people would use, by class.
RENAMED: dict[int, str] = {
    7: "rooster",
    101: "elephant",
    134: "crane (a bird)",
    289: "snow leopard",
    296: "polar bear",
    330: "rabbit",
    332: "Angora rabbit",
    339: "horse",
    341: "pig",
    387: "red panda",
    412: "rubbish bin",
    436: "station wagon",
    468: "taxi",
    487: "mobile phone",
    508: "computer keyboard",
    517: "crane (a machine)",
    608: "pair of jeans",
    638: "swimsuit",
    639: "swimsuit",
    667: "graduation cap",
    672: "tent",
    726: "carpenter's plane",
    744: "rocket",
    776: "saxophone",
    782: "computer screen",
    836: "pair of sunglasses",
    837: "pair of sunglasses",
    916: "web page",
    948: "green apple",
    967: "cup of espresso",
    970: "mountain",
    987: "corn",
    989: "rose hip",
    998: "ear of corn",
}


# Things that the word head was taught by name, each from dozens of photos: Caltech-101's categories.
TAUGHT = (
    "accordion, airplane, anchor, ant, barrel, beaver, binoculars, bonsai, brain, brontosaurus, buddha, butterfly, "
    "camera, cannon, car, ceiling fan, cellphone, chair, chandelier, cougar, crab, crayfish, crocodile, cup, "
    "dalmatian, dollar bill, dolphin, dragonfly, electric guitar, elephant, emu, euphonium, ewer, ferry, flamingo, "
    "garfield, gerenuk, gramophone, grand piano, hawksbill, headphones, hedgehog, helicopter, ibis, inline skate, "
    "joshua tree, kangaroo, ketch, lamp, laptop, leopard, llama, lobster, lotus, mandolin, mayfly, menorah, "
    "metronome, minaret, motorbike, nautilus, octopus, okapi, pagoda, panda, pigeon, pizza, platypus, pyramid, "
    "revolver, rhino, rooster, saxophone, schooner, scissors, scorpion, sea horse, snoopy, soccer ball, stapler, "
    "starfish, stegosaurus, stop sign, strawberry, sunflower, tick, trilobite, umbrella, watch, water lily, "
    "wheelchair, wild cat, windsor chair, wrench, yin yang"
).split(", ")
# What an animal or a vehicle is, the word head may know better.
_MEMBERS = {
    "animal": ("dog", "horse", "bird"),
    "vehicle": ("bicycle", "motorcycle", "car", "truck", "train", "boat", "canoe", "skateboard", "sled"),
}
_MIN_MEMBER = 0.4
# A room is not the chair in it, which the words then name among other things.
_MIN_THINGS_OF_ROOM = 3
_SURE_DRAWN = 0.95
_SURE_TAUGHT, _LIKELY_TAUGHT = 0.9, 0.8
# A group of few classes says more than a taught name: a cat that is surely a cat is rarely a wild cat.
_NARROW = 10


@dataclass(frozen=True)
class _Candidate:
    """A name with its probability and the classes that it covers."""

    name: str
    probability: float
    classes: frozenset[int]


def choose_kinds(
    classes: Sequence[float], names: Sequence[str], words: Mapping[str, float], *, is_drawn: bool = False
) -> tuple[Kind, ...]:
    """Return what the main thing may be: one kind that is sure or likely, or up to three guesses, or nothing.

    Args:
        classes: Probability of each ImageNet class.
        names: Their names.
        words: Probability of each word of the word head.
        is_drawn: The image is no photo. All classes were learned from photos, so a guess says nothing, and the words
            take every page and chart for a pyramid.
    """
    singles = _singles(classes, names)
    groups = [_Candidate(name, sum(classes[each] for each in members), members) for name, members in _groups()]
    if is_drawn:
        pages = [each for each in groups if each.name == PAGE]
        kind = _first(pages, LIKELY, Certainty.LIKELY) or _first(singles, _SURE_DRAWN, Certainty.LIKELY)
        return (kind,) if kind else ()
    narrow = [each for each in groups if len(each.classes) <= _NARROW]
    taught = max(TAUGHT, key=lambda word: words.get(word, 0.0))
    probability = words.get(taught, 0.0)
    kind = _first((*singles, *narrow), SURE, Certainty.SURE)
    if kind is None and is_room(words):
        return (Kind("room", Certainty.LIKELY),)
    if kind is None and probability >= _LIKELY_TAUGHT:
        kind = Kind(taught, Certainty.SURE if probability >= _SURE_TAUGHT else Certainty.LIKELY)
    # From narrow to broad, so that the first that is likely enough says the most.
    ordered = [*singles, *sorted(groups, key=lambda each: len(each.classes))]
    kind = kind or _first(ordered, SURE, Certainty.SURE) or _first(ordered, LIKELY, Certainty.LIKELY)
    if kind is not None:
        return (_narrowed(kind, words),)
    guesses = sorted(_merged(singles), key=lambda each: -each.probability)[:_MAX_GUESSES]
    return tuple(Kind(each.name, Certainty.UNSURE) for each in guesses if each.probability >= _MIN_GUESS)


def is_room(words: Mapping[str, float]) -> bool:
    """Return True if several pieces of furniture and the like are probably in the image."""
    return sum(probability_of(name, words) >= _MIN_MEMBER for name in THINGS_IN_ROOMS) >= _MIN_THINGS_OF_ROOM


def _narrowed(kind: Kind, words: Mapping[str, float]) -> Kind:
    """Return the member of a broad kind that the word head sees, or the kind itself."""
    members = _MEMBERS.get(kind.name, ())
    best = max(members, key=lambda name: probability_of(f"a {name}", words), default="")
    return Kind(best, kind.certainty) if best and probability_of(f"a {best}", words) >= _MIN_MEMBER else kind


def kind_probabilities(classes: Sequence[float], names: Sequence[str]) -> dict[str, float]:
    """Return the probability of each name that `choose_kinds` may choose by the classes."""
    groups = {name: sum(classes[each] for each in members) for name, members in _groups()}
    return {each.name: each.probability for each in _singles(classes, names)} | groups


def _first(candidates: Iterable[_Candidate], least: float, certainty: Certainty) -> Kind | None:
    return next((Kind(each.name, certainty) for each in candidates if each.probability >= least), None)


def _singles(classes: Sequence[float], names: Sequence[str]) -> list[_Candidate]:
    """Return the classes by name; two may have one name."""
    merged: dict[str, _Candidate] = {}
    for number, probability in enumerate(classes):
        name = RENAMED.get(number, names[number])
        before = merged.get(name, _Candidate(name, 0.0, frozenset()))
        merged[name] = _Candidate(name, before.probability + probability, before.classes | {number})
    return list(merged.values())


def _merged(singles: Sequence[_Candidate]) -> Iterator[_Candidate]:
    """Yield guesses of which no two belong to one narrow group; that group's name stands for them."""
    left = sorted(singles, key=lambda each: -each.probability)[: 4 * _MAX_GUESSES]
    while left:
        first, *left = left
        group = next((each for each in _groups() if first.classes <= each[1]), None)
        same = [each for each in left if group and each.classes <= group[1]]
        if group and same:
            total = first.probability + sum(each.probability for each in same)
            yield _Candidate(group[0], total, group[1])
            left = [each for each in left if each not in same]
        else:
            yield first


@cache
def _groups() -> tuple[tuple[str, frozenset[int]], ...]:
    return tuple((name, frozenset(_numbers(ranges))) for name, ranges in GROUPS.items())


def _numbers(ranges: str) -> Iterator[int]:
    for part in ranges.split():
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)
