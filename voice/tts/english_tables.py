"""English words for units, currencies, signs and abbreviations. `voice.tts.text_normalization` applies them."""

UNITS = {
    "km/h": ("kilometre per hour", "kilometres per hour"), "mph": ("mile per hour", "miles per hour"),
    "m/s": ("metre per second", "metres per second"), "km": ("kilometre", "kilometres"),
    "cm": ("centimetre", "centimetres"), "mm": ("millimetre", "millimetres"), "m": ("metre", "metres"),
    "µm": ("micrometre", "micrometres"), "μm": ("micrometre", "micrometres"), "nm": ("nanometre", "nanometres"),
    "m²": ("square metre", "square metres"), "km²": ("square kilometre", "square kilometres"),
    "cm²": ("square centimetre", "square centimetres"), "m³": ("cubic metre", "cubic metres"),
    "cm³": ("cubic centimetre", "cubic centimetres"), "mi": ("mile", "miles"), "ft": ("foot", "feet"),
    "kg": ("kilogram", "kilograms"), "mg": ("milligram", "milligrams"), "g": ("gram", "grams"),
    "lb": ("pound", "pounds"), "lbs": ("pound", "pounds"), "oz": ("ounce", "ounces"), "l": ("litre", "litres"),
    "ml": ("millilitre", "millilitres"), "mL": ("millilitre", "millilitres"), "L": ("litre", "litres"),
    "°C": ("degree Celsius", "degrees Celsius"), "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "°": ("degree", "degrees"), "%": ("percent", "percent"), "‰": ("per mille", "per mille"),
    "kB": ("kilobyte", "kilobytes"), "KB": ("kilobyte", "kilobytes"), "MB": ("megabyte", "megabytes"),
    "GB": ("gigabyte", "gigabytes"), "TB": ("terabyte", "terabytes"), "Hz": ("hertz", "hertz"),
    "kHz": ("kilohertz", "kilohertz"), "MHz": ("megahertz", "megahertz"), "GHz": ("gigahertz", "gigahertz"),
    "Mbit/s": ("megabit per second", "megabits per second"), "MB/s": ("megabyte per second", "megabytes per second"),
    "ms": ("millisecond", "milliseconds"), "s": ("second", "seconds"), "min": ("minute", "minutes"),
    "h": ("hour", "hours"), "W": ("watt", "watts"), "kW": ("kilowatt", "kilowatts"),
    "kWh": ("kilowatt hour", "kilowatt hours"), "V": ("volt", "volts"), "Ω": ("ohm", "ohms"),
    "mA": ("milliampere", "milliamperes"), "gal": ("gallon", "gallons"), "hrs": ("hour", "hours"),
    "tsp": ("teaspoon", "teaspoons"), "tbsp": ("tablespoon", "tablespoons"), "kcal": ("kilocalorie", "kilocalories"),
    "Mbps": ("megabit per second", "megabits per second"), "Gbps": ("gigabit per second", "gigabits per second"),
    "m/s²": ("metre per second squared", "metres per second squared"),
    "mAh": ("milliampere hour", "milliampere hours"), "dB": ("decibel", "decibels"), "px": ("pixel", "pixels"),
    "sq ft": ("square foot", "square feet"), "sq m": ("square metre", "square metres"),
    "sq mi": ("square mile", "square miles"), "ha": ("hectare", "hectares"), "yd": ("yard", "yards"),
    "mg/dL": ("milligram per decilitre", "milligrams per decilitre"),
    "mg/l": ("milligram per litre", "milligrams per litre"), "g/l": ("gram per litre", "grams per litre"),
    "ppm": ("part per million", "parts per million"), "ppb": ("part per billion", "parts per billion"),
    "psi": ("pound per square inch", "pounds per square inch"), "kPa": ("kilopascal", "kilopascals"),
    "hPa": ("hectopascal", "hectopascals"), "mmHg": ("millimetre of mercury", "millimetres of mercury"),
    "Nm": ("newton metre", "newton metres"), "MW": ("megawatt", "megawatts"), "GW": ("gigawatt", "gigawatts"),
    "bpm": ("beat per minute", "beats per minute"), "pp": ("percentage point", "percentage points"),
    "km/s": ("kilometre per second", "kilometres per second"),
    "fps": ("frame per second", "frames per second"), "rpm": ("revolution per minute", "revolutions per minute"),
}  # fmt: skip
"""Unit: (singular, plural)."""

UNITS_AFTER_SPACE = ("m", "g", "l", "L", "s", "h", "W", "V", "ha", "pp")
"""Units that count only after a space: "1980s" and "$5m" mean something else."""

CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "", ""),
    "₹": ("rupee", "rupees", "paisa", "paise"),
    "₩": ("won", "won", "", ""),
    "₽": ("rouble", "roubles", "kopeck", "kopecks"),
    "₺": ("lira", "lira", "", ""),
}
"""Sign: (singular, plural, singular and plural of the hundredth part)."""

CURRENCY_CODES = {
    "USD": ("dollar", "dollars"), "EUR": ("euro", "euros"), "GBP": ("pound", "pounds"), "JPY": ("yen", "yen"),
    "CHF": ("Swiss franc", "Swiss francs"), "INR": ("rupee", "rupees"), "CAD": ("Canadian dollar", "Canadian dollars"),
    "AUD": ("Australian dollar", "Australian dollars"), "CNY": ("yuan", "yuan"),
    "US$": ("US dollar", "US dollars"), "A$": ("Australian dollar", "Australian dollars"),
    "C$": ("Canadian dollar", "Canadian dollars"), "Rs.": ("rupee", "rupees"),
}  # fmt: skip
MAGNITUDES = {"k": "thousand", "K": "thousand", "m": "million", "M": "million", "B": "billion", "bn": "billion"}
FRACTIONS = {
    "1/2": "one half", "1/3": "one third", "2/3": "two thirds", "1/4": "one quarter", "3/4": "three quarters",
    "1/5": "one fifth", "2/5": "two fifths", "3/5": "three fifths", "4/5": "four fifths", "1/6": "one sixth",
    "5/6": "five sixths", "1/8": "one eighth", "3/8": "three eighths", "5/8": "five eighths", "7/8": "seven eighths",
    "1/10": "one tenth", "½": "one half", "⅓": "one third", "⅔": "two thirds", "¼": "one quarter",
    "¾": "three quarters", "⅕": "one fifth", "⅖": "two fifths", "⅗": "three fifths", "⅘": "four fifths",
    "⅙": "one sixth", "⅚": "five sixths", "⅛": "one eighth", "⅜": "three eighths", "⅝": "five eighths",
    "⅞": "seven eighths",
}  # fmt: skip
PERIODS = {"h": "hour", "hr": "hour", "d": "day", "wk": "week", "mo": "month", "yr": "year", "pp": "person"}
"""What stands after a price and a slash."""

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SIGNS = {
    "&": " and ", "+": " plus ", "=": " equals ", "×": " times ", "÷": " divided by ", "≈": " about ", "≠": " is not ",
    "≤": " at most ", "≥": " at least ", "±": " plus or minus ", "→": " to ", "⇒": " so ", "@": " at ",
    "%": " percent ", "°": " degrees ", "²": " squared ", "³": " cubed ", "€": " euros ", "£": " pounds ",
    "√": " root of ", "∞": " infinity ", "§": " section ", "№": " number ", "$": " dollars ", "¢": " cents ",
    "∑": " sum of ", "∫": " integral of ", "←": " from ", "·": " times ", "©": " copyright ", "®": " ", "™": " ",
    "†": " ", "‡": " ", "¶": " paragraph ", "•": " ", "‰": " per mille ", "¥": " yen ", "₹": " rupees ",
}  # fmt: skip
ABBREVIATIONS = {
    r"e\.\s?g\.,?": "for example,", r"i\.\s?e\.,?": "that is,", r"etc\.": "et cetera.", r"vs\.?": "versus",
    r"and/or": "and or", r"([CF])#": r"\1 sharp", r"approx\.": "approximately", r"ca\.(?=\s\d)": "about",
    r"(?<!\d\s)km/h": "kilometres per hour", r"(?<!\d\s)m/s": "metres per second",
    r"[Nn]/[Aa]": "N A", r"[Aa]/[Cc]": "A C",
    r"w/o": "without", r"b/c": "because", r"c/o": "care of", r"w/": "with ", r"a\.?k\.?a\b\.?": "also known as",
    r"No\.(?=\s\d)": "number", r"Nos\.(?=\s\d)": "numbers", r"Fig\.(?=\s\d)": "figure", r"pp\.(?=\s\d)": "pages",
    r"p\.(?=\s\d)": "page", r"Vol\.(?=\s\d)": "volume", r"Ch\.(?=\s\d)": "chapter", r"et al\.": "and others",
    r"Mr\.": "Mister", r"Dr\.(?=\s[A-Z])": "Doctor", r"Prof\.(?=\s[A-Z])": "Professor", r"Jr\.": "Junior",
    r"Sr\.": "Senior", r"Gen\.(?=\s[A-Z])": "General", r"Capt\.(?=\s[A-Z])": "Captain", r"St\.(?=\s[A-Z])": "Saint",
    r"(?<=[a-z] )St\.?(?=\s*[,.!?]|\s*$|\s[a-z])": "Street", r"Ave\.": "Avenue", r"Blvd\.": "Boulevard",
    r"Rd\.": "Road", r"[Dd]ept\.": "department", r"Inc\.": "Incorporated", r"Ltd\.": "Limited",
    r"Mt\.(?=\s[A-Z])": "Mount", r"Ft\.(?=\s[A-Z])": "Fort", r"[Mm]ax\.(?=\s\d)": "maximum",
    r"[Mm]in\.(?=\s\d)": "minimum", r"[Ii]ncl\.": "including", r"[Ee]xcl\.": "excluding", r"Ph\.D\.?": "P H D",
    r"cf\.": "compare", r"Sgt\.(?=\s[A-Z])": "Sergeant", r"Lt\.(?=\s[A-Z])": "Lieutenant",
    r"Col\.(?=\s[A-Z])": "Colonel", r"Sen\.(?=\s[A-Z])": "Senator", r"Gov\.(?=\s[A-Z])": "Governor",
    r"Rev\.(?=\s[A-Z])": "Reverend", r"[Ee]xt\.(?=\s?\d)": "extension", r"[Tt]el\.(?=:?\s?[\d+(])": "telephone",
    r"no\.(?=\s\d)": "number", r"[Ee]st\.(?=\s\d)": "established",
}  # fmt: skip
COUNTED = (
    "Chapter|Part|Section|Book|Act|Scene|Phase|Type|Class|War|Volume|Figure|Table|Article|Stage|Level|Appendix|Bowl"
    "|Fantasy|Episode|Rocky|Season|Grade|Group|Title|Item|Step|Division|Unit|Model|Mark|Apollo|Century"
)
"""Before a Roman numeral that is a plain number."""

RULERS = (
    "Henry|Louis|Charles|George|Elizabeth|William|Edward|James|Richard|Philip|Frederick|Napoleon|Nicholas|Alexander|Paul"
    "|Pius|Benedict|Gregory|Leo|Innocent|Francis|Ferdinand|Catherine|Mary|Otto|Ramses|Ptolemy|Clement|Urban|Leopold"
    "|Constantine|Albert|Peter|Ivan|Wilhelm|Gustav|Christian|Harald|Olav|Carlos|Felipe|Darius|Xerxes|Ludwig|Friedrich"
)
"""Before a Roman numeral that is an ordinal."""

SPELLED = (
    "US|AI|ID|IT|EU|UN|UK|API|CEO|CFO|CTO|CPU|GPU|UI|UX|OS|IQ|HIV|TV|PC|ATM|FAQ|URL|PDF|USB|IBM|SQL|HTML|CSS|GPS|DVD"
)
"""Initialisms that a voice may take for words."""

GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta", "θ": "theta",
    "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "µ": "mu", "ν": "nu", "ξ": "xi", "ο": "omicron", "π": "pi",
    "ρ": "rho", "σ": "sigma", "ς": "sigma", "τ": "tau", "υ": "upsilon", "φ": "phi", "χ": "chi", "ψ": "psi",
    "ω": "omega",
}  # fmt: skip
"""Letters that stand alone in formulas. English and German call them the same."""
