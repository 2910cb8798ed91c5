"""Which option an answer names: by its letter, or by the option's own text or number. Of several, none.

A letter counts where it stands as an answer (`C`, `(c)`, `C. 5 cm`, "so C", "option C is correct"), not as an article
or a point in a figure; `B and C` names none, `not A but C` names C.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

from eval.grading import phrases
from eval.grading.equal import same_parts
from eval.grading.extract import Cut, option_letter, strip_markup
from eval.grading.numbers import Quantity, agrees, quantity, same_quantity
from eval.grading.sentence import WINDOW, agreed, concluded, has_number, number_in, statement
from eval.grading.spelling import spelled
from eval.grading.units import unit_of

Options = Mapping[str, str]  # letter -> its text; an empty text is one that nobody could quote (a picture)

SEVERAL = ""  # what `_named` finds where a text names more than one
_STRUCK = re.compile(r"~~[^~\n]*~~")
_TICKED = re.compile(r"^\W*([A-J])\b[^\n✓✔✅☑]{0,80}[✓✔✅☑]", re.M)
_NAME = r"[(\[{<\"']{0,4}(?-i:([A-J]))(?!\w)[)\]}>\"']{0,4}"  # bounded, as all that repeats inside a repetition
_LEAD_IN = re.compile(
    r"(?:the |la |die |l')?(?:correct |right |best |bonne |richtige )?(?:option|choice|answer|letter|choix"
    r"|r[ée]ponse|antwort|选项|选择|选)"
    r"(?:\s+is\b)?\s*:?\s*(?=[(\[*\"]*[A-Ja-j]\b)",
    re.I,
)
_PLACE = re.compile(
    r"(?:the )?(?:step|figure|fig\.?|point|label|region|area|structure|part|line|curve|graph|panel|image"
    r"|picture|diagram|arrow|"
    r"circuit|shape|box|group|sample|vessel|organ|position|stage|phase) (?=\(?[A-Ja-j]\)?\W*$)",
    re.I,
)
_LONE = re.compile(r"[(\[{<\"'\s]*([A-Ja-j])[)\]}>\"'\s]*[.:,;。]*(?:项|选项)?")
_LABEL = re.compile(r"\(?[A-J]\)?")
_LIST = re.compile(
    rf"(?:both|either|options?|choices?)?\s*{_NAME}(?:\s*(?:[,;&/、+]|,?\s*(?:and|or|und|oder|et|ou|和|或)\b)"
    rf"\s*(?:and |or )?{_NAME})+(?![\w])"
)
_LABELLED = re.compile(r"[(\[{]*([A-J])[)\]}.:]*[\s,;=-]+(\S.*)", re.S)
_LEADING = re.compile(
    r"[(\[{<]*([A-J])(?:[)\]}>.:]+|\s*[,;]\s*(?![(\[]*[A-J]\b)|\s+(?:because|since|is(?! not| wrong"
    r"| incorrect| false)|as|due|for|with|,|weil|da|car|parce)\b|[,，]?因为|\s*$|\s*\n)"
)
_IS_CORRECT = re.compile(
    r"(?<![\w(])\(?((?-i:[A-J]))\)?[.:]?\s+(?:is|must be|would be|should be|seems|works|est"
    r"|ist)\s*(?:clearly |therefore |thus |also )?"
    r"(?:the |la |l'|die |our |my )?(?:\w+ )?(?:correct|right|best|answer|true|works|option|choice|bonne"
    r"|richtig|correcte?|réponse|antwort)"
    r"|(?<![\w(])\(?((?-i:[A-J]))\)?\s+(?:works|fits|matches|是正确|正确)|((?-i:[A-J]))\)?\s*(?:项|选项)?(?:是)?正确",
    re.I,
)
_MENTION = re.compile(r"(?<![\w'\\])(?P<open>\()?(?P<letter>[A-J])(?(open)\))(?![\w'’])(?!-\w)")
_BEFORE = re.compile(
    r"(?:\b(?:maybe|perhaps|possibly|ergo|option|choice|answer|letter|is|it's|be|so|therefore|thus|hence"
    r"|leaves?|leaving|only|probably|likely|choose|pick|"
    r"select|gives?|gets?|get|obtain|with|then|but|to|est|ist|nur|also|donc)|[:=→⇒]|是|选|为|故|^|\*\*)[,:]?\s*[(\"*]*$",
    re.I,
)
_LETTERS_DENIED = re.compile(
    rf"(?:{phrases.NEGATION.pattern.removesuffix('$')})\s{{0,3}}(?:option |options )?{_NAME}"
    rf"(?:\s{{0,3}}(?:,|,?\s{{0,3}}(?:and|or|nor))\s{{0,3}}{_NAME}){{0,8}}",
    re.I,
)
_CALLED_WRONG = re.compile(
    rf"{_NAME}(?:\s{{0,3}}(?:[,/]|,?\s{{0,3}}(?:and|or))\s{{0,3}}{_NAME}){{0,8}}\s{{0,3}}{phrases.WRONG}"
    rf"|{_NAME}\s{{0,3}}(?:错误|不正确|不对|[✗✘❌])"
)
_LOWER_CASE = re.compile(r"\b((?:option|choice|answer|letter)(?: is)? )\(?([a-j])\)?(?=\W*$|[.,;:])", re.I)
_ARTICLES = re.compile(r"^(?:(?:the|an?|la|le|les|der|die|das) |l')(?=[^\W\d_]{2})")
_DASH = re.compile(r"\s*[-\u2010-\u2015]\s*|(?<=\d) to (?=\d)")
_SPACED = re.compile(r"\s+")
_UNIT_WORD = re.compile(r"(?<=\d) ([^\W\d_]{2,})\b")
_LISTED_LINE = re.compile(r"^[ \t]*[-*]?[ \t]*\(?([A-J])[.):][^\n]*$", re.M)
_HEAD = re.compile(r"[,.;:(\n\u2014]|, | because | since ")


def choose(said: Cut, options: Options) -> str | None:
    """The letter of the one option that a cut answer names, or None."""
    text = _STRUCK.sub("", said.text).replace("**", "").strip(" \n\t=>\u2022\u2234\u21d2\u2192\u3010\u3011")
    text = _LOWER_CASE.sub(lambda m: m[1] + m[2].upper(), text)
    text = strip_markup(text[-WINDOW:].removeprefix("- "))
    exact = [c for c, option in options.items() if option and option.strip() == text and not _LABEL.fullmatch(text)]
    if len(exact) == 1:
        return exact[0]
    ticked = set(_TICKED.findall(text))
    if len(ticked) == 1:
        return _valid(ticked.pop(), options)
    texts = {letter: comparable(option) for letter, option in options.items() if option}
    named = _named(text, options, texts)
    if named is not None:
        return named or None
    for whole in (text, said.line):
        if whole and (letter := _by_own_text(whole, options, texts)) is not None:
            return letter or None
    return _in_sentences(text, options, texts)


def _valid(letter: str | None, options: Options) -> str | None:
    return letter if letter and letter in options else None


def _named(text: str, options: Options, texts: Mapping[str, str]) -> str | None:
    """The letter that an answer begins with or is; SEVERAL where it is a list of them; None where it names none."""
    if lead := _LEAD_IN.match(text) or (None if any(texts.values()) else _PLACE.match(text)):
        text = text[lead.end() :].lstrip("* ")
    if lone := _LONE.fullmatch(text):
        letter = lone[1].upper()
        same = [c for c, option in texts.items() if option == lone[1].lower()]
        if letter not in options and len(same) == 1:
            return same[0]
        return letter if letter in options else None
    if (labelled := _LABELLED.match(text)) and _same_option(labelled[2], labelled[1], texts):
        return labelled[1]
    if (several := _LIST.match(text)) and not text[several.end() :].strip(" .)]}*"):
        return None if comparable(text) in texts.values() else SEVERAL
    leading = _LEADING.match(text)
    if leading is None:
        return None
    if comparable(text) in texts.values():
        return None
    letters = "".join(options)
    strict = option_letter(text, letters)
    if strict:
        return strict
    if _LIST.match(text) or (
        re.match(rf"{_NAME}[.):]", text) and len(set(re.findall(r"(?m)^\W*([A-J])[.):]", text))) > 1
    ):
        return SEVERAL
    bracketed = set(re.findall(r"\(([A-J])\)", text))
    if text[:1] == "(" and len(bracketed) > 1:
        return None
    return _valid(leading[1], options)


def _same_option(text: str, letter: str, texts: Mapping[str, str]) -> bool:
    if not texts.get(letter):
        return False
    plain = strip_markup(text).strip()
    bare = plain[1:-1] if plain[:1] + plain[-1:] == "()" else plain
    if texts[letter] in (comparable(plain), comparable(bare)):
        return True
    found, gold = quantity(spelled(plain)), quantity(texts[letter])
    return bool(found and gold and same_quantity(gold, found))


@lru_cache(maxsize=4096)  # options come again with every reply
def comparable(text: str) -> str:
    """Lower case in one spelling, without article, quotes and closing marks; `6 to 10` as `6-10`."""
    plain = spelled(strip_markup(text)).casefold().replace('"', "").strip(" .,;:!*_()") if len(text) < WINDOW else ""
    plain = _DASH.sub("-", _ARTICLES.sub("", plain)).replace(" and ", ", ").replace("\\approx", "").strip()
    plain = _UNIT_WORD.sub(lambda m: f" {unit_of(' ' + m[1]) or m[1]}", plain)
    return _SPACED.sub(" ", plain)


def _by_own_text(text: str, options: Options, texts: Mapping[str, str]) -> str | None:
    """The option that a text is: the same words, number or list; SEVERAL where more than one is the same."""
    said = comparable(text)
    if not said:
        return None
    squeezed = said.replace(" ", "")
    same = [c for c, option in texts.items() if option.replace(" ", "") == squeezed]
    if len(same) > 1:
        exact = [c for c in same if strip_markup(options[c]) == strip_markup(text).removesuffix(".")]
        alike = len({options[c].strip() for c in same}) == 1
        return exact[0] if len(exact) == 1 else same[0] if alike else SEVERAL
    if same:
        return same[0]
    head = comparable(_HEAD.split(strip_markup(text), maxsplit=1)[0])
    if head and head != said and not re.search(r"\d", head):
        same = [c for c, option in texts.items() if option == head]
        if same and not re.match(r"[\s,]*(?:or|and|und|oder|ou|et)\b", text[len(head) :]):
            return same[0]
    plain = spelled(strip_markup(text))
    found = quantity(plain) or (quantity(plain.rpartition("=")[2]) if "=" in plain else None)
    if found is not None:
        return _by_number(found, options)
    if re.search(r"[,(\[:]| and ", plain) and len(plain) < 200:
        same = [c for c, option in texts.items() if same_parts(spelled(strip_markup(options[c])), plain)]
        return same[0] if len(same) == 1 else None
    return None


def _by_number(found: Quantity, options: Options) -> str | None:
    """The only option of that value; of several the one with that unit."""
    values = {c: value for c, option in options.items() if (value := quantity(spelled(strip_markup(option))))}
    for same in (same_quantity, agrees):
        if matches := [c for c, value in values.items() if same(value, found)]:
            if len(matches) > 1:
                exact = [c for c in matches if (values[c].unit, values[c].percent) == (found.unit, found.percent)]
                matches = exact if len(exact) == 1 else matches
            alike = {comparable(options[c]) for c in matches}
            return matches[0] if len(matches) == 1 or len(alike) == 1 else SEVERAL
    return None


def _in_sentences(text: str, options: Options, texts: Mapping[str, str]) -> str | None:
    """The option that the statement of a running text names; the options repeated, line by line, name none."""
    if len(set(_LISTED_LINE.findall(text))) > 1:
        text = _LISTED_LINE.sub("", text).strip()
    told = statement(text, lambda s: _letter_in(s, options) is not None)
    if told is not None:
        return _letter_in(told, options) or None
    if _numeric(texts):
        numbers = statement(text, has_number)
        found = number_in(spelled(numbers)) if numbers is not None else None
        return (_by_number(found, options) or None) if found is not None else None
    return agreed(text, lambda s: _text_in(s, texts)) or None


_NO_NUMBER = re.compile(r"\d\s*[:-]\s*\d")  # a ratio, a clock, a range


def _numeric(texts: Mapping[str, str]) -> bool:
    numbers = sum(quantity(option) is not None and not _NO_NUMBER.search(option) for option in texts.values())
    return numbers * 2 > len(texts) > 0


def _letter_in(sentence: str, options: Options) -> str | None:
    """The letter that one sentence names as its answer; SEVERAL, or None for none."""
    if not re.search(r"[A-J]", sentence) or phrases.REFUSAL.search(sentence):
        return None
    plain = sentence
    for denied in (_CALLED_WRONG, _LETTERS_DENIED):
        plain = denied.sub(lambda m: " " * len(m[0]), plain)
    right = {next(filter(None, m.groups())).upper() for m in _IS_CORRECT.finditer(plain)} & set(options)
    if len(right) == 1:
        return right.pop()
    found = _letters(plain, options)
    start = concluded(plain, [at for at, _ in found])
    letters = {letter for at, letter in found if at >= start}
    if not letters:
        return None
    return letters.pop() if len(letters) == 1 else SEVERAL


def _letters(text: str, options: Options) -> list[tuple[int, str]]:
    """Where letters stand as options: in brackets, or bare after a word or a sign that announces an answer."""
    found: list[tuple[int, str]] = []
    for match in _MENTION.finditer(text):
        letter, after = match["letter"], text[match.end() : match.end() + 20]
        if letter not in options:
            continue
        article = (
            letter in "AI"
            and re.match(r" [a-z](?!\w*\b(?:nd|r)\b)", after)
            and not re.match(r" (?:is|because|since|and|or|as|works)\b", after)
        )
        announced = _BEFORE.search(text[: match.start()][-30:]) and not re.match(r"\s*[=+*/^]", after)
        listed = found and re.fullmatch(
            r"[\s,;/&(]*(?:and|or|oder|ou)?[\s(]*", text[found[-1][0] + 1 : match.start()].lstrip(")")
        )
        if match["open"] or (not article and (announced or listed)):
            found.append((match.start("letter"), letter))
    return found


def _text_in(sentence: str, texts: Mapping[str, str]) -> str | None:
    """The only option whose words occur in a sentence (`quarter past` holds `quarter`); SEVERAL, or None for none."""
    text = comparable(sentence)
    if lead := phrases.LEADING.match(text):
        text = text[lead.end() :] or text
    if phrases.REFUSAL.search(text):
        texts = {
            c: option
            for c, option in texts.items()
            if phrases.REFUSAL.search(option) or option.startswith(("can", "not", "imp"))
        }
    inside: dict[str, list[int]] = {}
    for letter, option in texts.items():
        if len(option) < 2 or (option.isdigit()):
            continue
        places = [
            m.start()
            for m in re.finditer(rf"(?<!\w){re.escape(option)}(?:s|es|d|ed)?(?!\w)", text)
            if not phrases.NEGATION.search(text[: m.start()][-40:])
        ]
        if places:
            inside[letter] = places
    start = concluded(text, [place for places in inside.values() for place in places])
    inside = {c: places for c, places in inside.items() if any(place >= start for place in places)}
    if not inside:
        return None
    longest = max(inside, key=lambda c: len(texts[c]))
    alone = all(texts[c] in texts[longest] for c in inside)
    return longest if alone else SEVERAL
