"""Words and question templates from which `questions` and `caption_rules` derive training data."""

# Words for each object; questions use the first. An image shows the object if a caption has any of its words.
OBJECT_WORDS: dict[str, tuple[str, ...]] = {
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
# Caption words that leave open whether the object is there; a question about it would have no sure answer.
AMBIGUOUS_WORDS = {
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
# Colour words in captions, and the colour that answers name.
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
# Objects whose colour is asked for.
COLOURED_OBJECTS = (
    "shirt dress jacket coat hat car bike bicycle motorcycle truck bus dog ball shorts pants jeans helmet cap sweater vest skirt boat kayak canoe horse"
    " hair umbrella frisbee bag backpack outfit uniform suit swimsuit toy tent wall building snowsuit t-shirt jersey collar scarf couch chair slide cat bird"
).split()
PLURAL_OBJECTS = {"shorts", "pants", "jeans", "flowers"}
# Number words in captions.
NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
NUMBER_WORDS = {
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
# Plural and singular of what is counted.
PLURALS = {
    "dogs": "dog", "men": "man", "women": "woman", "children": "child", "boys": "boy", "girls": "girl", "people": "person", "horses": "horse",
    "kids": "kid", "players": "player", "birds": "bird", "bikes": "bike", "cars": "car", "boats": "boat", "puppies": "puppy", "ladies": "lady",
}  # fmt: skip
# Subjects of captions, about whose actions questions ask.
ACTORS = "man woman boy girl dog child person baby lady guy kid skateboarder snowboarder surfer biker skier cyclist climber horse bird puppy player toddler".split()
PLACES = (
    "snow beach water grass street pool field park road sidewalk ocean river lake sand woods forest stage playground mountain city bench couch bed dirt"
    " trail track yard backyard kitchen swimming mud air lawn hill court ice stream room bridge desert garden restaurant"
).split()

# Wordings of each question. A name ending in "again" marks a follow-up question.
QUESTION_TEMPLATES = {
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
UNANSWERABLE_QUESTIONS = (
    "What is the {actor}'s name?", "Where was this photo taken?", "What time is it?", "How old is the {actor}?", "Who took this picture?", "What day is it?",
    "Who is this?", "What is the {actor} thinking about?", "How much does it cost?", "What happened before this?",
)  # fmt: skip
CANNOT_TELL = "I can't tell from the picture."
READING_QUESTIONS = (
    "What does the sign say?",
    "What does it say?",
    "Read the text in the picture.",
    "What is written here?",
)
CANNOT_READ = "I can't read text in pictures."
PERSON_WORDS = (
    "man men woman women boy boys girl girls child children kid kids baby toddler person people lady ladies guy guys couple family crowd player players"
    " skier surfer biker cyclist climber hiker skateboarder snowboarder rider team group someone swimmer runner worker band dancer he she his her"
).split()
