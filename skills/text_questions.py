"""Answer questions about the text in an image by reading it, for a model that cannot read.

The chat and the skill vqa, and so its command, batches and the Python API, ask `reads_instead` and answer with
`answer_from_text`.
"""

import re

from assistant.models.base import ModelInfo
from skills import ocr
from skills.ocr import Line, OcrResult

_SURFACES = "signs?|labels?|posters?|banners?|stickers?|page|notes?|letters?|caption|receipt|plaque|billboard"
# Matches "Which number is on the sign?", "What is the title?" and German questions, but not "Which number of dogs …?",
# "What is the colour of the title?" or "Was steht auf dem Tisch?".
_MORE = re.compile(
    r"""
      \b(?:what|which)\s+(?:\w+\s+){0,2}?(?:numbers?|digits?|title|heading|headline|price|slogan|brand|address)\b
        (?!\s+of\b(?!\s+(?:the|this)\s+(?:house|room|bus|train|flight|page|player)))
    | \bwhat(?:'s|\s+is|\s+are|\s+was)\s+the\s+(?:\w+\s+)?
        (?:titles?|subtitle|headings?|headlines?|inscription|text|wording|slogan|prices?|brand(?:\s+name)?|web\s?site
          |url|e-?mail(?:\s+address)?|phone\s+number|licen[cs]e\s+plate|(?:house|room|page|flight|bus)\s+number)\b
    | \bwhat(?:'s|\s+is)\s+the\s+(?:numbers?|names?|words?|date|time)\s+(?:written\s+|printed\s+)?(?:on|at)\b
    | \bwhat(?:['’]?s|\s+is|\s+did|\s+do)\s+(?:it|that|this|they|the\s+(?:SURFACES))\s+say\b
    | \bwhat\s+(?:it|this|that|the\s+(?:SURFACES))\s+says\b | \bwhat\s+says\s+the\s+(?:SURFACES)\b
    | \bhow\s+do(?:es)?\s+the\s+(?:SURFACES)\s+read\b | ^\W*ocr\b
    | \bwhat(?:['’]?s|\s+is)\s+on\s+(?:the|this|that)\s+(?:SURFACES)\W*$
    | ^\W*(?:please\s+)?(?:type|write|copy)\s+(?:out\s+)?(?:the|this|all(?:\s+the)?)\s+text\b
    | \bwas\s+liest\s+(?:du|man)\b | \bwhat(?:['’]?s|\s+is)\s+(?:the|this)\s+message\b
    | \bwhat\s+(?:can|do)\s+you\s+read\b | \bwhat\s+can\s+be\s+read\b
    | ^\W*(?:bitte\s+)?(?:lies|lese|entziffere|transkribiere)\b
    | \b(?:kannst|k\u00f6nntest|k\u00f6nnen|k\u00f6nnten)\s+(?:du|sie)\b[^.?!]*\b(?:vor)?lesen\b
    | \bwas\s+steht\s+(?:(?:da|dort|hier|denn)\s+)?(?:geschrieben|drauf|darauf|drin|darin|da|dort|hier)\b
    | \bwas\s+steht\b[^.?!]*(?:schild|zettel|plakat|seite|buch|tafel|karte|brief|packung|etikett|dose|flasche|tasse
        |shirt|trikot|bild|foto|wand|papier|blatt|display|bildschirm|poster|kennzeichen|umschlag|banner|aufkleber)\w*\b
    | \bwas\s+(?:ist|wurde)\b[^.?!]*\b(?:geschrieben|gedruckt|aufgedruckt)\b
    | \bwas\s+sagt\s+(?:das|der|die)\s+(?:schild|zettel|plakat|tafel|text|etikett|aufkleber|poster)\b
    | \bwelche[rsn]?\s+(?:\w+\s+)?(?:nummern?|zahl(?:en)?|ziffern?|texte?|w(?:\u00f6|oe)rter|worte?|titel
        |(?:\u00fc|ue)berschrift|aufschrift|inschrift|buchstaben)\b
    | \bwie\s+(?:lautet|hei(?:\u00df|ss)t)\s+(?:der|die|das)\s+(?:\w+\s+)?(?:titel|text|nummer|zahl|preis|kennzeichen
        |(?:\u00fc|ue)berschrift|aufschrift|inschrift)\b
    | \bwas\s+ist\s+(?:der|die)\s+(?:titel|(?:\u00fc|ue)berschrift|aufschrift|inschrift)\b
    | \b(?:gibt\s+es|ist|steht)\s+(?:da\s+|dort\s+|hier\s+)?(?:ein\s+|irgendein(?:en)?\s+)?(?:text|schrift)\b
    """.replace("SURFACES", _SURFACES),
    re.IGNORECASE | re.VERBOSE,
)
_ASKS_FOR_NUMBER = re.compile(r"\b(?:numbers?|digits?|nummern?|zahl(?:en)?|ziffern?)\b", re.IGNORECASE)
_ASKS_FOR_TITLE = re.compile(r"\b(?:title|heading|headline|titel|(?:\u00fc|ue)berschrift|schlagzeile)\b", re.IGNORECASE)


def asks_for_text(question: str) -> bool:
    """Return True if a question about an image asks for the text in it, in English or German."""
    return ocr.asks_for_text(question) or _MORE.search(question) is not None


def reads_instead(question: str, model: ModelInfo) -> bool:
    """Return True if a question is answered by reading the image, since `model` cannot read."""
    return model.bundled and asks_for_text(question)


def answer_from_text(question: str, result: OcrResult) -> OcrResult:
    """Return what of the text in an image answers a question.

    That is the largest row for a title, the rows with digits for a number, and else everything. If none is such a row,
    it is everything too.
    """
    if not result.lines:
        return result
    if _ASKS_FOR_TITLE.search(question):
        tallest = max(_height(line) for line in result.lines)
        # Words of one title differ a little in height.
        return OcrResult(lines=[line for line in result.lines if _height(line) > 0.8 * tallest])
    if _ASKS_FOR_NUMBER.search(question):
        with_digits = [line for line in result.lines if any(character.isdigit() for character in line.text)]
        return OcrResult(lines=with_digits or result.lines)
    return result


def _height(line: Line) -> int:
    return line.box[3] - line.box[1]
