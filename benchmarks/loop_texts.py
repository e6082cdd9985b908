"""Replies that repeat things and are right, and replies in a loop: what `assistant.models.loop_guard` is judged by.

`RIGHT` holds what people ask for: lists, code, tables, refrains, drawings, sequences. `LOOPS` holds a beginning and
what then comes again and again, in the ways seen of small models. The thresholds of the guard were chosen with these
texts in view, so they are no measure of how it does on others: `python -m benchmarks loops` counts those too.
"""

from typing import NamedTuple


class Reply(NamedTuple):
    """A reply, and the request that it answers."""

    text: str
    request: str = ""


_COLOURS = ("red", "orange", "yellow", "green", "blue", "indigo", "violet", "white", "grey", "black", "pink", "brown")

_LANTERNS = "\n\n".join(
    f"{n} lanterns hang on the harbour wall, {n} lanterns hang.\nBlow one out and climb back down,\n"
    f"{n - 1} lanterns hang on the harbour wall."
    for n in range(99, 60, -1)
)
_LANTERNS_BY_LINE = "\n".join(
    f"{n} lanterns hang on the wall,\n{n} lanterns hang.\nBlow one out, climb back down,\n{n - 1} lanterns on it.\n"
    for n in range(99, 60, -1)
)
_VILLANELLE = """\
The tide comes in, whatever we may say.
We build our towers high along the strand.
The sea will have the castle and the day.

The children dig, the gulls look on and play,
The flags are set, the moats are carefully planned;
The tide comes in, whatever we may say.

A wall of pebbles cannot bar its way,
Nor any bucket in the smallest hand.
The sea will have the castle and the day.

And still we shape the turrets out of clay,
And still we smooth the bridges out of sand;
The tide comes in, whatever we may say.

At noon the sun had promised it would stay,
At five the foam is where we used to stand.
The sea will have the castle and the day.

So take your spade, my love, and come away,
The lamp is lit, the supper is on hand.
The tide comes in, whatever we may say.
The sea will have the castle and the day."""
_CHORUS = "Oh, carry me home, carry me home,\nover the hills and over the foam.\nCarry me, carry me, carry me home.\n"
_SONG = "\n".join(
    f"{verse}\n\n{_CHORUS}"
    for verse in (
        "The kettle is cold and the harbour is grey,\nmy boots have been walking since breaking of day.",
        "The letters I wrote have gone down with the mail,\nthe wind has been chewing the edge of the sail.",
        "My mother is waiting, the bread has gone stale,\nthe dog at the gate is a wag and a tail.",
        "The road is a ribbon, the moon is a coin,\nthe river and I have arranged where to join.",
    )
)
_LITANY = "\n".join(
    f"For {thing}, we give thanks."
    for thing in (
        *("bread and salt", "the rain on the roof", "letters that arrive", "a chair by the stove", "the patient dog"),
        *("clean water", "the first swallow", "old songs", "new shoes", "the road home", "soup", "every small lamp"),
        *("work that ends", "friends who stay", "the sea at night", "apples in winter", "a door that opens"),
    )
)
_WHEELS = "\n\n".join(
    f"The {part} on the cart {sound}, {sound}, {sound},\nthe {part} on the cart {sound},\nall through the town."
    for part, sound in (
        ("wheels", "turn round and round"),
        ("bell", "goes ding ding ding"),
        ("horse", "goes clop clop"),
    )
)
_CODE = """\
```python
import json
import math
import os
import re
import sys

class Shape:
    def area(self) -> float:
        raise NotImplementedError

    def perimeter(self) -> float:
        raise NotImplementedError

class Square(Shape):
    def __init__(self, side: float) -> None:
        self.side = side

    def area(self) -> float:
        return self.side * self.side

    def perimeter(self) -> float:
        return 4 * self.side

class TestSquare(unittest.TestCase):
"""
_TESTS = "".join(
    f"    def test_side_{n}(self) -> None:\n        square = Square({n})\n"
    f"        self.assertEqual(square.area(), {n * n})\n        self.assertEqual(square.perimeter(), {4 * n})\n\n"
    for n in range(1, 16)
)
_BRACES = (
    "```js\n"
    + "".join(f"{'  ' * n}if (a[{n}]) {{\n" for n in range(9))
    + "".join(f"{'  ' * n}}}\n" for n in range(8, -1, -1))
)
_GRID = "```html\n<table>\n" + ("  <tr>\n" + '    <td class="cell"></td>\n' * 8 + "  </tr>\n") * 8 + "</table>\n```\n"
_TABLE = "| day | breakfast | lunch | dinner |\n|---|---|---|---|\n" + "".join(
    f"| {day} | porridge | soup | rice |\n" for day in ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday") * 2
)
_EMPTY_TABLE = "| name | age | town |\n|------|-----|------|\n" + "|      |     |      |\n" * 20
_CSV = "id,active,score,group\n" + "".join(f"{n},true,0.0,default\n" for n in range(1, 60))
_JSON = "[\n" + ",\n".join(f'  {{"id": {n}, "name": null, "tags": [], "active": false}}' for n in range(1, 40)) + "\n]"
_BOXES = "[" + ", ".join(f'{{"label": "book", "bbox_2d": [{n * 7}, 20, {n * 7 + 6}, 340]}}' for n in range(40)) + "]"
_ZEROS = "[" + ",\n ".join("[" + ", ".join(["0"] * 12) + "]" for _ in range(12)) + "]"
_CHECKERS = "\n".join(("# . # . # . # .", ". # . # . # . #") * 4)
_ART = "\n".join((" " * 20 + "*" * 40,) * 12) + "\n" + "\n".join(" " * (20 - n) + "*" * (2 * n) for n in range(20))
_BOX = "+" + "-" * 60 + "+\n" + ("|" + " " * 60 + "|\n") * 18 + "+" + "-" * 60 + "+\n"
_DNA = "Huntingtin, expanded: " + "CAG" * 60 + ". Telomere: " + "TTAGGG" * 40 + ". Tail: " + "A" * 200
_CHECKLIST = "".join(f"{n}. Check the {colour} cable.\n" for n, colour in enumerate(_COLOURS, 1))
_EQUAL_OPENINGS = "".join(
    f"- You can {what} with your family.\n"
    for what in (
        *("bake bread", "play cards", "plant herbs", "paint stones", "read aloud", "build a den", "learn a song"),
        *("write letters", "cook soup", "sort photos", "make a kite", "count birds", "dance", "tell jokes"),
    )
)
_TIMES = "\n".join(f"7 x {n} = {7 * n}" for n in range(1, 40))
_COUNTING = ", ".join(map(str, range(1, 200)))
_PLAN = "".join(
    f"Day {n}: {'Rest' if n % 7 in (0, 3) else f'Walk {10 + n} minutes and stretch'}.\n" for n in range(1, 31)
)
_LOG = "\n".join(f"2026-11-30 09:{n:02} INFO server: request finished in {n * 7 % 90} ms" for n in range(60))
_CHINESE = "山高水长，风轻云淡。\n" + "".join(
    f"第{number}天，我们在{place}看日出，听人唱歌，吃热汤面。\n"
    for number, place in zip(
        "一二三四五六七八九", ("山上", "海边", "桥头", "田里", "船上", "城外", "湖边", "村口", "路旁"), strict=True
    )
)
_JAPANESE = (
    "春は桜が咲き、人々は公園で花見をします。夏は海へ行き、花火を見ます。秋は山の葉が赤くなり、"
    "冬は雪が降ります。どの季節にも祭りがあり、どの季節にも料理があります。春の料理、夏の料理、秋の料理、冬の料理。"
)
_DIALOGUE = "\n".join(
    f"{'King' if n % 2 == 0 else 'Gardener'}: {line}"
    for n, line in enumerate(
        (
            *("Why are the roses late?", "The frost was late, sire.", "And the pears?", "The frost, sire.", "Hm."),
            *(
                "Hm, sire.",
                "Yes?",
                "Yes, sire.",
                "No.",
                "No, sire.",
                "Then dig.",
                "I dig, sire.",
                "Good.",
                "Good, sire.",
            ),
        )
    )
)
_EMPHASIS = "It was very, very, very, very, very cold. No, no, no, no, no! Ha ha ha ha ha ha ha! " + "la " * 16 + "la."
_BREATHE = "Breathe in. Breathe out. " * 5 + "Now let your shoulders fall, and open your eyes."
_TAB = "\n".join("e|---0---2---3---2---|" for _ in range(12))
_CHORDS = "\n".join("Am   F    C    G" for _ in range(10))
_LOREM = "".join("<li>Item</li>\n" for _ in range(8))
_HEADINGS = "".join(
    f"## Week {n}\n\n- **Goal:** {goal}\n- **Practice:** 20 minutes a day\n- **Rest:** Sunday\n\n"
    for n, goal in enumerate(
        ("hold the bow", "open strings", "first scale", "a slow tune", "two tunes", "play for a friend"), 1
    )
)
_RULES = "\n\n".join(f"{'=' * 80}\nPart {n}\n{'-' * 80}\nText of part {n}." for n in range(1, 6))

RIGHT = {
    "counting song": Reply(_LANTERNS, "Write a long counting song."),
    "counting song, a number a line": Reply(_LANTERNS_BY_LINE, "Write a long counting song."),
    "villanelle": Reply(_VILLANELLE),
    "song with a chorus": Reply(_SONG),
    "song that ends on its chorus": Reply(_SONG + _CHORUS * 2),
    "litany": Reply(_LITANY),
    "nursery rhyme": Reply(_WHEELS),
    "code with tests": Reply(_CODE + _TESTS + "```"),
    "closing braces": Reply(_BRACES + "```"),
    "grid in HTML": Reply(_GRID),
    "Markdown table": Reply(_TABLE),
    "empty table": Reply(_EMPTY_TABLE),
    "CSV": Reply(_CSV),
    "JSON": Reply(_JSON),
    "boxes of a picture": Reply(_BOXES),
    "zeros": Reply(_ZEROS),
    "checkerboard": Reply(_CHECKERS),
    "drawing": Reply(_ART),
    "box": Reply(_BOX),
    "DNA": Reply(_DNA),
    "checklist": Reply(_CHECKLIST),
    "equal openings": Reply(_EQUAL_OPENINGS),
    "times table": Reply(_TIMES),
    "counting": Reply(_COUNTING),
    "counting with a label": Reply(" ".join(f"Number {n}." for n in range(1, 120))),
    "plan of a month": Reply(_PLAN),
    "log": Reply(_LOG),
    "Chinese": Reply(_CHINESE),
    "Japanese": Reply(_JAPANESE),
    "dialogue": Reply(_DIALOGUE),
    "emphasis": Reply(_EMPHASIS),
    "breathing": Reply(_BREATHE),
    "guitar tablature": Reply(_TAB),
    "chords": Reply(_CHORDS),
    "list items": Reply(_LOREM),
    "headings": Reply(_HEADINGS),
    "rules": Reply(_RULES),
    "a word fifty times": Reply("banana " * 50, "Repeat the word banana 50 times."),
    "a sentence a hundred times": Reply(
        "I will not feed the goose.\n" * 100, 'Write "I will not feed the goose." 100 times.'
    ),
    "a line of laughter": Reply("He laughed: " + "ha" * 60 + "! Then he " + "laughed and " * 4 + "sat down."),
    "a long no": Reply("N" + "o" * 120 + "!"),
}
"""Replies that should not be ended, by name."""

_START = "Here is what I think about that. It depends on the weather, the season and your patience.\n\n"
_PARAGRAPHS = (
    "The harbour is quiet in the morning, and the boats lie still. A woman mends nets and hums an old song.",
    "In the evening the lamps are lit along the quay. The fishermen come home, tired, and the dogs run to meet them.",
)

LOOPS = {
    "a word": Reply(_START + "the " * 300),
    "a word with commas": Reply("What to pack: socks, " + "antibiotics, " * 200),
    "three words a line": Reply("A gentle rain,\n" * 100),
    "a clause": Reply(_START + "He had sailed with Barnaby for a long time, and " * 60),
    "a sentence": Reply(_START + "They travel to understand and to learn. " * 60),
    "two sentences in turn": Reply(_START + "I am not sure. You should ask someone who knows about it. " * 50),
    "a paragraph": Reply(_START + (_PARAGRAPHS[0] + "\n\n") * 20),
    "two paragraphs in turn": Reply(_START + (_PARAGRAPHS[0] + "\n\n" + _PARAGRAPHS[1] + "\n\n") * 12),
    "a stanza": Reply(("The leaves are a fleeting sight,\nA fleeting sight,\nA far-off land of leaves.\n\n") * 30),
    "numbered items": Reply(_START + "".join(f"{n}. Use a timer to stay focused.\n" for n in range(1, 80))),
    "numbered items on one line": Reply(_START + "".join(f"{n}) Use a timer. " for n in range(1, 80))),
    "bold steps": Reply("".join(f"**Step {n}:** Mix the flour with the water.\n\n" for n in range(1, 60))),
    "steps with a digit more": Reply("".join(f"Step {n}: Press the button and wait.\n" for n in range(97, 150))),
    "bullets": Reply(_START + "- The book is on the table.\n" * 60),
    "questions and answers": Reply("Q: What is it?\nA: It is a kettle that can be used in the kitchen.\n" * 40),
    "a function": Reply("```python\n" + "def add(a, b):\n    return a + b\n\n\n" * 80),
    "an import": Reply("```python\n" + "import numpy as np\n" * 150),
    "a table row": Reply("| a | b |\n|---|---|\n" + "| The cat | sat on the mat |\n" * 90),
    "a JSON object": Reply("[" + '{"name": "kettle", "price": 5}, ' * 80),
    "Chinese": Reply("春天来了。" + "花儿在风中轻轻地笑，" * 60),
    "a Chinese word": Reply("好的" * 300),
    "Japanese": Reply("はい、わかりました。" * 60),
    "Thai": Reply("ฉันรักทะเลและภูเขา" * 60),
    "Hindi": Reply("यह एक सुंदर दिन है। " * 60),
    "German": Reply(_START + "Der kleine Drache flog über das Tal und lachte. " * 40),
    "laughter": Reply("ha" * 2000),
    "one letter": Reply("Noo" + "o" * 4000),
    "dashes": Reply("-" * 4000),
    "zeros": Reply("0, " * 1500),
    "line breaks": Reply("Well." + "\n" * 2000),
    "a signature": Reply(_START + "Best regards,\n[Your name]\n\n" * 40),
    "an emoji": Reply("Enjoy! " + "🎉" * 2500),
}
"""Replies that should be ended, by name. Each goes on for longer than any reply would."""
