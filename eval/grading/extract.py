"""The default rule's first half: cut the final answer out of a reply, and say which wrapper it stood in.

Trained models answer in the wrapper they were trained on, and no official parser reads all of them. Every step
here is linear in the reply's length: it runs on each rollout of training and on replies that loop to their limit.
"""

import re
from typing import NamedTuple

from eval.grading import phrases
from eval.grading.sentence import thinks_aloud
from eval.grading.spelling import characters

LONGEST_BARE_ANSWER = 40  # characters of a reply without any wrapper that may still be an answer


class Cut(NamedTuple):
    """`wrapper` names what was peeled off, outermost first: `tag>boxed` is a box inside an answer tag.

    `line` is all that stands on the line of a sentence "the answer is …": an option's own text may be several.
    """

    text: str
    wrapper: str
    line: str = ""


THINK_END = re.compile(r"</(?:think|thought|thinking)>", re.I)
THINK = re.compile(r"<(?:think|thought|thinking)>", re.I)
_TAG = re.compile(r"<(/?)answer>", re.I)
_MARKED = {"tag", "boxed", "angle", "json"}  # wrappers that only a final answer is put in
_PHRASE_WINDOW = 20_000  # characters at the end of a reply in which "the answer is" is looked for
_BRACES = re.compile(r"\\boxed\s*\{|\\[{}]|[{}]")
_LONE_BRACES = re.compile(r"(?<!\\)\{((?:[^{}\n]++|\{[^{}\n]*+\})++)(?<!\\)\}")
_COMMAND = re.compile(r"\\[A-Za-z]+ *$")
_ANGLE = re.compile(r"< ?answer ?>[ \t*]*:?[ \t*]*(?:\n[ \t]*)?((?:(?!< ?answer ?>)[^\n])*)", re.I)
_JSON = re.compile(
    r'"(?:final[_ ]?|correct[_ ]?)?answer"[ \t\n]*:[ \t\n]*(?:"((?:[^"\\\n]|\\.)*)"|([^\s,"{}\[\]]+|\[[^\[\]{}]*\]))',
    re.I,
)
_PROGRAM = re.compile(r"^[ \t]*(?:def \w+\(|import \w+$|from [\w.]+ import |print\(|for \w+ in [^\n]*:$)", re.M)
_BOLD = re.compile(r"\*\*([^*\n]+)\*\*")
# A sentence ends after a number, its unit, a word of three letters or a bracket: not in "St. Louis", not after an
# option's "C."
_SENTENCE_END = re.compile(r"(?:(?<=\d)|(?<=\d\s\w)|(?<=\d\s\w\w)|(?<=\w\w\w)|(?<=[)\]}$%*\"']))\.(?=\s)|\u3002")


def cut(reply: str) -> Cut:
    """The final answer of a reply, without its wrapper; the whole reply (`plain`) where no wrapper is found.

    Text before the last `</think>` or `</thought>` never counts. Then the first of these that occurs, its last
    occurrence: `<answer>…</answer>`, balanced `\\boxed{…}`, `<Answer>: <<…>>`, "answer is" or what stands after it
    in braces of its own or in bold in the last line. A wrapper inside a wrapper is peeled too.
    """
    reply = characters(reply)
    thought = _last(THINK_END, reply)
    text = reply[thought.end() :] if thought else reply
    unfinished = thought is None and (THINK.search(reply) is not None or thinks_aloud(reply))
    names: list[str] = []
    line = ""
    while len(names) < 4 and (found := _unwrap(text, names)) is not None:
        text, line = found.text, found.line
        names.append(found.wrapper)
    if not _MARKED & set(names) and (unfinished or ("phrase" not in names and _PROGRAM.search(reply))):
        return Cut("", "plain")  # the sentences of a thought that never ended are no final answer, nor is a program
    return Cut(text.strip(), ">".join(names) or "plain", line)


def _unwrap(text: str, peeled: list[str]) -> Cut | None:
    """The last answer in the strongest wrapper of `text`, unless a final answer is stated after it."""
    if (tagged := _last_tagged(text)) is not None:
        return _stated_later(text, tagged[1]) or Cut(text[tagged[0] : tagged[1]].strip(), "tag")
    if (box := _last_box(text)) is not None:
        return _stated_later(text, box[1] + 1) or Cut(text[box[0] : box[1]].strip(), "boxed")
    if said := _last(_JSON, text):
        return Cut((said[1] or said[2] or "").strip(), "json")
    angles = [angle for angle in _ANGLE.finditer(text) if angle[1].strip(" <>*:")]
    if angles:
        return Cut(_angle_text(angles[-1][1]), "angle")
    return _in_running_text(text, peeled)


def _stated_later(text: str, end: int) -> Cut | None:
    """A final answer in words after a wrapper's end: `\\boxed{12} … Answer: D`."""
    rest = text[end:]
    if not rest.strip(" \n$*.\\)]}") or not (phrase := _last_phrase(rest)) or not phrases.FINAL.search(phrase[0]):
        return None
    said = _first_sentence(rest[phrase.end() :]).strip("* ")
    states = re.search(r"[\d\\]|^\W*[A-J]\b|\b[A-J]\W*$", said) or 0 < len(said.split()) <= 3
    return Cut(said, "phrase", _line(rest, phrase.end())) if states and len(said) <= 80 else None


def _last_tagged(text: str) -> tuple[int, int] | None:
    """Where that begins and ends which stands between the last `<answer>` that is closed and its `</answer>`."""
    start, last = -1, None
    for tag in _TAG.finditer(text):
        if not tag[1]:
            start = tag.end()
        elif start >= 0:
            start, last = -1, (start, tag.start())
    return last


def _in_running_text(text: str, peeled: list[str]) -> Cut | None:
    """The sentence "the answer is …", unless braces of their own, or bold in a last line, come after that sentence.

    A sentence may stand in a tag; what a box or a phrase holds is no sentence.
    """
    phrase = _last_phrase(text) if not peeled or peeled[-1] == "tag" else None
    sentence = _first_sentence(text[phrase.end() :]) if phrase else ""
    said = text.find(sentence, phrase.end()) + len(sentence) if phrase else 0
    braces = _last_braces(text)
    if peeled and peeled[-1] != "tag" and braces and text[: braces.start()].strip(" $*\\"):
        braces = None  # part of an answer: `FCC {110}`
    if braces and braces.start() >= said:
        return Cut(braces[1].strip(), "braces")
    last_line = text.rstrip().rfind("\n") + 1
    bold = _last(_BOLD, text, last_line)
    if bold and (not phrase or last_line >= said) and not bold[1].rstrip().endswith(":"):
        return Cut(bold[1].strip(), "bold")
    return Cut(sentence.strip("* "), "phrase", _line(text, phrase.end())) if phrase else None


def _line(text: str, start: int) -> str:
    return text[start:].lstrip().partition("\n")[0].strip()


def _last_phrase(text: str) -> re.Match[str] | None:
    """The last "answer is" after which an answer stands; where there is none such, the last one."""
    end, last, empty = len(text.rstrip()), None, None
    for phrase in phrases.ANSWER.finditer(text, max(0, end - _PHRASE_WINDOW)):
        if phrase.end() >= end or not text[phrase.end() : phrase.end() + 40].strip("*# \n\t:.\"'"):
            empty = phrase
        elif not phrases.NO_ANSWER.match(text, phrase.end()):
            last = phrase
    return last or empty


def _last_braces(text: str) -> re.Match[str] | None:
    """The last braces of their own: no LaTeX argument, exponent or root, and no set in a list of sets."""
    for braces in reversed(list(_LONE_BRACES.finditer(text))):
        before, after = text[max(0, braces.start() - 30) : braces.start()], text[braces.end() : braces.end() + 4]
        beside = before[-1:].isalnum() or before[-1:] in ("_", "^", "\u221a", "\u221b")
        listed = before.rstrip(" ,;")[-1:] == "}" or after.lstrip(" ,;")[:1] == "{"
        if not beside and not listed and not ("\\" in before and _COMMAND.search(before)):
            return braces
    return None


def _last(pattern: re.Pattern[str], text: str, start: int = 0) -> re.Match[str] | None:
    last = None
    for last in pattern.finditer(text, start):  # noqa: B007
        pass
    return last


def _angle_text(line: str) -> str:
    inner = line.partition("<<")[2] if "<<" in line else line.lstrip(" <")
    return inner.partition(">>")[0].rstrip("> ").strip()


def _first_sentence(tail: str) -> str:
    line = tail.lstrip().partition("\n")[0]
    end = _SENTENCE_END.search(line)
    sentence = line[: end.start()] if end else line
    return sentence.strip().removesuffix(".").strip()


def last_box(text: str) -> str | None:
    """What the last balanced `\\boxed{…}` holds, or None."""
    box = _last_box(text)
    return text[box[0] : box[1]].strip() if box else None


def _last_box(text: str) -> tuple[int, int] | None:
    """Where its content begins and ends. One pass, however many boxes never close."""
    if "\\boxed" not in text:
        return None
    opened: list[int] = []  # start of a box's content, or -1 for any other brace
    last = None
    for brace in _BRACES.finditer(text):
        if brace[0].startswith("\\boxed"):
            opened.append(brace.end())
        elif brace[0] == "{":
            opened.append(-1)
        elif brace[0] == "}" and opened and (start := opened.pop()) >= 0:
            last = (start, brace.start())
    return last


_FONT = re.compile(
    r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathsf|mathit|mbox|bf|rm)\s*\{((?:[^{}]++|\{[^{}]*+\})*+)\}"
)
_OPTION = re.compile(r"(?:the\s+)?(?:correct\s+)?(?:option|choice|answer)\b(?:\s+is)?\s*:?\s*", re.I)
_LETTER = re.compile(r"[(\[{<]*([A-Z])(?:[)\]}>.:]|$|\s*[-\u2013\u2014=]\s|\s+\()")
_LONE_LETTER = re.compile(r"[(\[]?([A-Za-z])[)\]]?[.:]?")
_ANOTHER = re.compile(r"[)\]}>.]*\s*(?:[,;&/]|,?\s*(?:and|or)\b)\s*(?:and\s+|or\s+)?[(\[{<]*([A-Z])\b")
_IN_BRACKETS = re.compile(r"\(([A-Z])\)")
_LISTED = re.compile(r"^[ \t]*([A-Z])[.):]", re.M)


_AROUND = ' \t\r\n$*_`"'


def strip_markup(text: str) -> str:
    """Without dollar signs, bold, quotes and LaTeX font commands around the answer."""
    plain = _FONT.sub(r"\1", text).replace("\\(", "").replace("\\)", "").strip(_AROUND)
    if plain[:1] == "'" == plain[-1:]:
        plain = plain[1:-1].strip(_AROUND)  # a single one at the end may be a minute or a foot
    return plain[2:-2].strip() if plain.startswith("\\[") and plain.endswith("\\]") else plain


def option_letter(text: str, letters: str) -> str | None:
    """The option that a cut answer names (`C`, `(c)`, `C. 5 cm`, `option C`), if it is one of `letters`, and one."""
    text = strip_markup(text[-2000:])
    text = text[m.end() :] if (m := _OPTION.match(text)) else text
    last_line = text.rpartition("\n")[2].strip()
    lone = _LONE_LETTER.fullmatch(text)
    leading = None if lone else _LETTER.match(text)
    match = lone or leading or _LONE_LETTER.fullmatch(last_line)
    letter = match[1].upper() if match else ""
    if not letter or letter not in letters:
        return None
    others = _other_letters(text, leading.end(1)) if leading else []
    return None if any(other != letter and other in letters for other in others) else letter


def _other_letters(text: str, end: int) -> list[str]:
    """Letters of options that a text names after its first: `A and C`, or more in brackets or at the start of lines."""
    if another := _ANOTHER.match(text, end):
        return [another[1]]
    return (_IN_BRACKETS if text[0] == "(" else _LISTED).findall(text)
