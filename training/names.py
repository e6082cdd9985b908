"""Accepted names of the Caltech-101 categories, and families of ImageNet classes.

The accepted names were fixed before any model was tested on the categories and are the same for every system in a
table. An answer counts if it contains one of them as a word; a plural "s" is allowed. Training teaches the first name.
A broader word ("cat" for a cougar, "boat" for a ketch) does not count.
"""

import re

ACCEPTED_NAMES: dict[str, tuple[str, ...]] = {
    "accordion": ("accordion",),
    "airplanes": ("airplane", "plane", "aeroplane", "airliner", "jet", "aircraft"),
    "anchor": ("anchor",),
    "ant": ("ant",),
    "barrel": ("barrel", "cask"),
    "bass": ("bass", "fish"),
    "beaver": ("beaver",),
    "binocular": ("binoculars", "binocular"),
    "bonsai": ("bonsai", "bonsai tree"),
    "brain": ("brain",),
    "brontosaurus": ("brontosaurus", "dinosaur", "sauropod"),
    "buddha": ("buddha", "buddha statue"),
    "butterfly": ("butterfly", "butterflies"),
    "camera": ("camera",),
    "cannon": ("cannon",),
    "car side": ("car", "automobile"),
    "ceiling fan": ("ceiling fan", "fan"),
    "cellphone": ("cellphone", "cell phone", "mobile phone", "phone", "cellular telephone"),
    "chair": ("chair", "armchair"),
    "chandelier": ("chandelier",),
    "cougar body": ("cougar", "puma", "mountain lion"),
    "cougar face": ("cougar", "puma", "mountain lion"),
    "crab": ("crab",),
    "crayfish": ("crayfish", "crawfish", "crawdad"),
    "crocodile": ("crocodile", "alligator"),
    "crocodile head": ("crocodile", "alligator"),
    "cup": ("cup", "mug"),
    "dalmatian": ("dalmatian",),
    "dollar bill": ("dollar bill", "banknote", "bill", "dollar"),
    "dolphin": ("dolphin",),
    "dragonfly": ("dragonfly", "dragonflies"),
    "electric guitar": ("electric guitar", "guitar"),
    "elephant": ("elephant",),
    "emu": ("emu",),
    "euphonium": ("euphonium", "tuba"),
    "ewer": ("ewer", "jug", "pitcher"),
    "faces": ("face", "person", "man", "woman", "portrait"),
    "faces easy": ("face", "person", "man", "woman", "portrait"),
    "ferry": ("ferry", "ferryboat"),
    "flamingo": ("flamingo",),
    "flamingo head": ("flamingo",),
    "garfield": ("garfield", "cartoon cat"),
    "gerenuk": ("gerenuk", "antelope", "gazelle"),
    "gramophone": ("gramophone", "phonograph", "record player"),
    "grand piano": ("grand piano", "piano"),
    "hawksbill": ("hawksbill", "sea turtle", "turtle"),
    "headphone": ("headphones", "headphone", "earphones", "headset"),
    "hedgehog": ("hedgehog",),
    "helicopter": ("helicopter",),
    "ibis": ("ibis",),
    "inline skate": ("inline skate", "roller skate", "rollerblade", "skate"),
    "joshua tree": ("joshua tree", "yucca"),
    "kangaroo": ("kangaroo", "wallaby"),
    "ketch": ("ketch", "sailboat", "sailing boat", "yacht"),
    "lamp": ("lamp", "table lamp"),
    "laptop": ("laptop", "notebook computer"),
    "leopards": ("leopard",),
    "llama": ("llama",),
    "lobster": ("lobster",),
    "lotus": ("lotus", "water lily"),
    "mandolin": ("mandolin",),
    "mayfly": ("mayfly", "mayflies"),
    "menorah": ("menorah", "candelabra"),
    "metronome": ("metronome",),
    "minaret": ("minaret",),
    "motorbikes": ("motorbike", "motorcycle", "moped"),
    "nautilus": ("nautilus",),
    "octopus": ("octopus",),
    "okapi": ("okapi",),
    "pagoda": ("pagoda",),
    "panda": ("panda", "giant panda"),
    "pigeon": ("pigeon", "dove"),
    "pizza": ("pizza",),
    "platypus": ("platypus",),
    "pyramid": ("pyramid",),
    "revolver": ("revolver", "gun", "pistol", "handgun"),
    "rhino": ("rhino", "rhinoceros"),
    "rooster": ("rooster", "cock"),
    "saxophone": ("saxophone", "sax"),
    "schooner": ("schooner", "sailing ship", "sailboat"),
    "scissors": ("scissors",),
    "scorpion": ("scorpion",),
    "sea horse": ("sea horse", "seahorse"),
    "snoopy": ("snoopy", "cartoon dog"),
    "soccer ball": ("soccer ball", "football"),
    "stapler": ("stapler",),
    "starfish": ("starfish", "sea star"),
    "stegosaurus": ("stegosaurus", "dinosaur"),
    "stop sign": ("stop sign",),
    "strawberry": ("strawberry", "strawberries"),
    "sunflower": ("sunflower",),
    "tick": ("tick",),
    "trilobite": ("trilobite",),
    "umbrella": ("umbrella",),
    "watch": ("watch", "wristwatch"),
    "water lilly": ("water lily", "lotus", "lily"),
    "wheelchair": ("wheelchair",),
    "wild cat": ("wild cat", "wildcat"),
    "windsor chair": ("windsor chair", "chair"),
    "wrench": ("wrench", "spanner"),
    "yin yang": ("yin yang", "yin-yang"),
}

PLURAL_ONLY = {"binoculars", "headphones", "scissors", "sunglasses", "maillot", "swimming trunks", "jeans", "pajamas"}
PROPER_NAMES = {"garfield", "snoopy", "buddha"}

# (first class, last class, family). The published class order keeps related classes together. With a family's name an
# answer can say "a dog" when the breed is in doubt.
IMAGENET_FAMILIES: tuple[tuple[int, int, str], ...] = (
    (0, 1, "fish"),
    (2, 4, "shark"),
    (7, 24, "bird"),
    (25, 29, "salamander"),
    (30, 32, "frog"),
    (33, 37, "turtle"),
    (38, 48, "lizard"),
    (49, 50, "crocodile"),
    (52, 68, "snake"),
    (72, 77, "spider"),
    (80, 100, "bird"),
    (118, 121, "crab"),
    (127, 146, "bird"),
    (147, 148, "whale"),
    (151, 268, "dog"),
    (269, 272, "wolf"),
    (277, 280, "fox"),
    (281, 285, "cat"),
    (294, 297, "bear"),
    (300, 307, "beetle"),
    (321, 326, "butterfly"),
    (330, 332, "rabbit"),
    (345, 347, "ox"),
    (348, 350, "sheep"),
    (365, 382, "monkey"),
    (385, 386, "elephant"),
    (389, 397, "fish"),
)


def imagenet_family(index: int) -> str | None:
    """Return the everyday word for the family of ImageNet class `index`; None if it has none."""
    return next((word for first, last, word in IMAGENET_FAMILIES if first <= index <= last), None)


def with_article(name: str) -> str:
    """Return the singular `name` with its article: "an ant", "scissors"."""
    if name.lower() in PLURAL_ONLY or name.lower() in PROPER_NAMES:
        return name
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def contains_name(answer: str, accepted: tuple[str, ...]) -> bool:
    """Return True if `answer` contains one of the `accepted` names as a word."""
    return any(re.search(rf"\b{re.escape(name)}s?\b", answer.lower()) for name in accepted)
