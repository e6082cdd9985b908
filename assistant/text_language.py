"""Guess the language of a text from its script and its most frequent words.

Scripts decide where they can: kana is Japanese. Within a script a voice refuses a language only if several of its
everyday words occur and hardly any of the expected language, since a text that is refused for nothing is worse than a
mispronounced one (`language_of_words`). The language of a question is guessed from less (`language_of_text`).
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection
from functools import lru_cache

# Language: scripts beside Latin, by the first word of their characters' Unicode names.
_SCRIPTS = {
    "ja": "HIRAGANA KATAKANA CJK KATAKANA-HIRAGANA", "zh": "CJK BOPOMOFO", "yue": "CJK BOPOMOFO", "ko": "HANGUL CJK",
    "ar": "ARABIC", "fa": "ARABIC", "ur": "ARABIC", "ps": "ARABIC", "sd": "ARABIC", "ug": "ARABIC", "ku": "ARABIC",
    "he": "HEBREW", "yi": "HEBREW", "el": "GREEK", "grc": "GREEK", "hy": "ARMENIAN", "ka": "GEORGIAN",
    "am": "ETHIOPIC", "ti": "ETHIOPIC", "th": "THAI", "lo": "LAO", "km": "KHMER", "my": "MYANMAR", "bo": "TIBETAN",
    "hi": "DEVANAGARI", "mr": "DEVANAGARI", "ne": "DEVANAGARI", "sa": "DEVANAGARI", "kok": "DEVANAGARI",
    "bn": "BENGALI", "as": "BENGALI", "bpy": "BENGALI", "pa": "GURMUKHI", "gu": "GUJARATI", "or": "ORIYA",
    "ta": "TAMIL", "te": "TELUGU", "kn": "KANNADA", "ml": "MALAYALAM", "si": "SINHALA", "chr": "CHEROKEE",
    **dict.fromkeys("ru uk be bg mk sr kk ky mn tg tt ba cv".split(), "CYRILLIC"),
}  # fmt: skip
# Script: the language that is most often written in it.
_MAIN_LANGUAGE = {
    "HIRAGANA": "ja", "KATAKANA": "ja", "CJK": "zh", "BOPOMOFO": "zh", "HANGUL": "ko", "CYRILLIC": "ru", "GREEK": "el",
    "ARABIC": "ar", "HEBREW": "he", "ARMENIAN": "hy", "GEORGIAN": "ka", "ETHIOPIC": "am", "THAI": "th", "LAO": "lo",
    "KHMER": "km", "MYANMAR": "my", "TIBETAN": "bo", "DEVANAGARI": "hi", "BENGALI": "bn", "GURMUKHI": "pa",
    "GUJARATI": "gu", "ORIYA": "or", "TAMIL": "ta", "TELUGU": "te", "KANNADA": "kn", "MALAYALAM": "ml",
    "SINHALA": "si", "CHEROKEE": "chr",
}  # fmt: skip
# Letters that only one of the languages of a script has.
_TELLING_LETTERS = (("fa", "پچژگ"), ("ur", "ٹڈڑںے"), ("uk", "іїєґ"), ("be", "ў"), ("sr", "ђћџљњ"), ("bg", "ъщ"))
# Everyday words that no other of these languages has, or only few.
_WORDS = {
    "en": "the and is are was were of to in that it this with for you your have has not but from they what when where "
    "there which would can will how do does i my we be at on as an or if so he she his her its me us our about please",
    "de": "du bist heißt heiße heute guten hallo ja nein danke bitte was wer wo warum noch nur schon hier dir mir dich "
    "der die das und ist sind war nicht ein eine einen einem mit für auf von zu dem den des sich auch es ich sie "
    "wir ihr wie bei nach aus oder aber wenn wird werden kann haben hat im am zum zur ihnen mein dein sehr geht",
    "fr": "bonjour allez aujourd'hui oui suis es ai ça tu te me moi toi quel quelle quoi d'accord bien "
    "le la les un une des et est sont dans que qui pour pas avec sur ce cette vous nous je il elle du au aux "
    "mais ou où être avoir très c'est plus comment merci votre mon",
    "es": "hola buenos estás buenas días dónde cuándo quién sí te tu mi me gusta bien "
    "el la los las un una y es son en que de por para con no se lo como más pero su está este esta usted yo muy "
    "qué cómo gracias también del al hay",
    "it": "ciao sul sulla stai buongiorno sì dove quando perché ti mi tu va bene "
    "il lo la gli le un una e è sono che di in per con non si come più ma questo questa del della nel io lei "
    "molto grazie anche cosa sei",
    "pt": "o a os as um uma e é são em que de por para com não se como mais mas está este esta você eu muito do da no "
    "na obrigado também isso",
    "nl": "de het een en is zijn van in dat die niet met voor op te aan er maar ook je ik wij hij zij naar bij uit hoe "
    "wat deze dit heeft worden",
    "sv": "hej hur mår tack bra "
    "och är det en ett som på i att av för med inte den jag du vi han hon har kan om till från var hur men",
    "da": "og er det en et som på i at af for med ikke den jeg du vi han hun har kan om til fra var hvordan men",
    "pl": "i jest nie to się w na z że do jak ale czy co są dla przez był tak za jestem bardzo",
    "cs": "a je se na v že to s do jak ale pro jsou jsem není byl tak za také velmi",
    "tr": "merhaba evet hayır güzel gün nasılsın teşekkür ederim iyi "
    "ve bir bu da de için ile çok ne var değil gibi ama ben sen o mı mi nasıl daha",
    "fi": "ja on ei se että hän ovat oli kun mutta myös tämä minä sinä mitä miten olen",
    "hu": "a az és egy nem hogy is van ez azt de meg vagy én mint csak",
    "vi": "xin chào các bạn là của không có tôi và một cho được này người khỏe",
    "ro": "și este un o în că nu de la cu pe sunt mai dar pentru din ce eu foarte",
}  # fmt: skip
# Short sentences that are said often, and that nobody says in English: "au revoir" and "bon voyage" are not among them.
_PHRASES = {
    "de": "guten morgen,guten tag,guten abend,gute nacht,auf wiedersehen,auf wiederhören,vielen dank,danke schön,"
    "danke sehr,bitte schön,bitte sehr,alles gute,alles klar,frohe weihnachten,herzlichen glückwunsch,wie bitte,"
    "ich auch,sehr gut,sehr gerne,gern geschehen,gute besserung,bis bald,bis morgen,bis später,tut mir leid,"
    "kein problem,ja bitte,nein danke,willkommen,entschuldigung,guten appetit,gute reise,viel glück,viel spaß",
    "fr": "bonne journée,bonne nuit,bonne soirée,bonsoir,s'il vous plaît,s'il te plaît,je t'aime,à bientôt,"
    "à demain,de rien,bien sûr,d'accord,merci bien,pas de problème,joyeux noël,bonne chance,ça va,très bien",
    "es": "buenos días,buenas tardes,buenas noches,muchas gracias,hasta luego,hasta mañana,"
    "lo siento,por supuesto,feliz navidad,buena suerte,muy bien,está bien",
    "it": "buon giorno,buongiorno,buona sera,buonasera,buona notte,buonanotte,grazie mille,molte grazie,"
    "per favore,va bene,mi dispiace,a domani,buon natale,molto bene,di niente",
    "pt": "bom dia,boa tarde,boa noite,muito obrigado,muito obrigada,até logo,até amanhã,"
    "tudo bem,muito bem,feliz natal",
    "nl": "goedemorgen,goede morgen,goedemiddag,goedenavond,dank je wel,dank u wel,tot ziens,graag gedaan",
    "sv": "god morgon,god kväll,god natt,tack så mycket,varsågod",
    "pl": "dzień dobry,dobry wieczór,do widzenia,dziękuję bardzo,dobranoc",
    "tr": "günaydın,iyi akşamlar,iyi geceler,teşekkürler,hoşça kal",
}
_PHRASE_LANGUAGES = {phrase: language for language, phrases in _PHRASES.items() for phrase in phrases.split(",")}
_WORD_SETS = {language: frozenset(words.split()) for language, words in _WORDS.items()}
_MIN_WORDS = 3
_MIN_SHARE = 0.3
# Words of a question, letters of a word, below which one everyday word has to suffice, and can.
_SHORT_TEXT, _TELLING_WORD = 4, 3
# Marks that only one of the languages has.
_TELLING_MARKS = {"¿": "es", "¡": "es", "ß": "de"}
# Another language may be quoted: "What does 'guten Tag' mean?"
_QUOTED = re.compile(
    r"```.*?```|`[^`]*`|\"[^\"]*\"|“[^”]*”|„[^“”]*[“”]|«[^»]*»|‘[^’]*’|(?<!\w)'[^']*'(?!\w)", re.DOTALL
)
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")


@lru_cache(maxsize=4096)
def script_of(character: str) -> str:
    """Return the script of a letter, such as "LATIN" or "CJK"; "" for what belongs to every script."""
    if character.isascii() or not character.isalpha():
        return ""
    name = unicodedata.name(unicodedata.normalize("NFKC", character)[0], "")
    script = name.partition(" ")[0]
    return "" if script in ("", "LATIN", "MODIFIER", "FEMININE", "MASCULINE") else script


def scripts_of_language(language: str) -> frozenset[str]:
    """Return the scripts in which a language is written, beside Latin, which every voice knows."""
    return frozenset(_SCRIPTS.get(language, "").split())


def foreign_letters(text: str, scripts: Collection[str]) -> str:
    """Return the letters of `text` in other scripts than Latin and `scripts`."""
    if text.isascii():
        return ""
    return "".join(each for each in text if (script := script_of(each)) and script not in scripts)


def language_of_script(letters: str) -> str:
    """Return the most probable language of letters that are not Latin; "" if there are none."""
    counts = Counter(filter(None, map(script_of, letters)))
    if not counts:
        return ""
    if counts["HIRAGANA"] or counts["KATAKANA"]:
        return "ja"
    language = _MAIN_LANGUAGE.get(counts.most_common(1)[0][0], "")
    lowered = letters.lower()
    for other, telling in _TELLING_LETTERS:
        if scripts_of_language(other) == scripts_of_language(language) and any(each in lowered for each in telling):
            return other
    return language


def language_of_words(text: str, expected: str) -> str:
    """Return the language whose everyday words make up much of `text`; "" if it is `expected`, or not clear."""
    first, *others = _WORD.findall(text) or [""]
    # A capital within the sentence begins a name, as in "Los Angeles and Las Vegas".
    words = [word.replace("’", "'") for word in (first.lower(), *others)]
    if expected not in _WORD_SETS:
        return ""
    if (language := _PHRASE_LANGUAGES.get(" ".join(words).lower(), expected)) != expected:
        return language
    if len(words) < _MIN_WORDS:
        return ""
    hits = {language: sum(word in known for word in words) for language, known in _WORD_SETS.items()}
    best = max(hits, key=lambda language: (hits[language], language == expected))
    # Different words, as one may be a name or a word of the expected language.
    different = len({word for word in words if word in _WORD_SETS[best]})
    is_clear = different >= _MIN_WORDS and hits[best] >= _MIN_SHARE * len(words) and hits[best] > 2 * hits[expected]
    return best if best != expected and is_clear else ""


def language_of_text(text: str) -> str:
    """Return the language in which somebody asks something; "" if it is not clear. What is quoted does not count."""
    asked = _QUOTED.sub(" ", text)
    foreign = foreign_letters(asked, ())
    if foreign and 3 * len(foreign) >= sum(map(str.isalpha, asked)):
        return language_of_script(foreign)
    if mark := next((mark for mark in _TELLING_MARKS if mark in asked), ""):
        return _TELLING_MARKS[mark]
    first, *others = _WORD.findall(asked) or [""]
    words = [word.replace("’", "'") for word in (first.lower(), *others)]
    if language := _PHRASE_LANGUAGES.get(" ".join(words).lower()):
        return language
    hits = {language: {word for word in words if word in known} for language, known in _WORD_SETS.items()}
    # Long words tell more: "la" and "de" belong to several languages.
    letters = {language: sum(map(len, known)) for language, known in hits.items()}
    best, second = sorted(letters, key=lambda language: -letters[language])[:2]
    if not letters[second] and len(words) <= _SHORT_TEXT and len(hits[best]) == 1:
        # The first word has a capital whatever it is: "Las Vegas".
        return best if any(word in hits[best] and len(word) >= _TELLING_WORD for word in others) else ""
    is_clear = len(hits[best]) >= max(2, _MIN_SHARE * len(set(words))) and letters[best] > 1.5 * letters[second]
    return best if is_clear else ""
