import unicodedata

import pytest

from eval.leakage.detector import search
from eval.leakage.mention import LANGUAGES, MENTION, mentions
from tests.parity.mentions import LABELLED, lines


@pytest.mark.parametrize(
    "reply",
    [
        "The reference answer is 7. I see 2 red circles.",
        "The correct solution gives 5.",
        "As the provided\n solution says, add both.",
        "This matches the given answer.",
        "According to the reference, it is 4.",
        "The known answer is 3",
        "compared with the ground truth",
        "Looking at the Answer Key: 4",
        "the answer provided to me is 4",
        "The expected answer is 12.",
        "The correct answer is given as 5.",
        "I have been told that the answer is 9.",
        "The hint says 14, so",
        "I must not copy the reference solution.",
        "The wrong solution above forgets a unit.",
        "参考答案是3。",
        "根据给定的答案，选B。",
        "由标准解答可知，角为40°。",
        "正确解法给出的结果是6。",
        "我被告知答案是8。",
        "參考答案是3。",
        "La réponse de référence est 3.",
        "D'après la solution fournie, l'angle vaut 40°.",
        "La solution correcte donne 6.",
        "On m’a dit que la réponse est 8.",
        "Le corrigé indique B.",
    ],
)
def test_talk_about_an_unseen_reference_is_found(reply: str) -> None:
    assert mentions(reply)


@pytest.mark.parametrize(
    "reply",
    [
        "The reference angle is 30 degrees, so the answer is 60.",
        "In this frame of reference the solution is simple.",
        "Given that x = 2, the answer is 4.",
        "Among the given answer choices, B fits.",
        "The correct answer is C.",
        "The answer is given by 2x + 3.",
        "The solution of the given equation is 4.",
        "A known solution of the equation is x = 1.",
        "The given solution contains 5 % salt.",
        "I see 3 red circles. 3 + 2 = 5. \\boxed{5}",
        "We are told that the perimeter is 12.",
        "The hint asks for a letter.",
        "I do not have the answer key.",
        "The correct answer among the provided answer options is D.",
        "The model's answer would be 4 if the given figure were a square.",
        "参考角是30°，参考系是地面。",
        "下面给出答案：12。",
        "已知条件是AB=3，正确答案是C。",
        "给出的答案选项都是分数。",
        "L'angle de référence vaut 30°.",
        "Sur la figure donnée, la bonne réponse est C.",
        "Parmi les réponses proposées, seule B convient.",
        "La concentration de la solution donnée est 5 %.",
        "",
    ],
)
def test_ordinary_mathematics_is_not(reply: str) -> None:
    assert mentions(reply) == []


def test_phrases_come_in_order_and_lower_case() -> None:
    assert mentions("The Reference Answer is 7; the correct solution gives 7.") == [
        "reference answer",
        "correct solution gives",
    ]


def test_a_find_counts_the_reply_once_and_each_phrase() -> None:
    replies = ["the reference answer is the reference answer", "clean", "clean", "ground truth"]
    found = search(MENTION, [(reply, {}) for reply in replies])
    assert found == ([0, 3], 4, {"reference answer": 2, "ground truth": 1})


def test_other_spellings_of_an_accent_count() -> None:
    assert mentions(unicodedata.normalize("NFD", "La réponse de référence est 3.")) == ["réponse de référence"]


def test_a_phrase_is_found_anywhere_in_a_long_reply() -> None:
    steps = "Then 3 + 4 = 7. " * 400
    assert mentions(f"{steps}The reference answer is 7. {steps}") == ["reference answer"]


@pytest.mark.parametrize("language", ["en", "zh", "fr"])
def test_what_has_no_cues_has_no_mentions(language: str) -> None:
    """The strings that spare a sentence the regular expression cost no finding."""
    for line in lines(language):
        text = " ".join(line.text.lower().split())
        whole = [m[0] for known in LANGUAGES for m in known.mention.finditer(known.innocent.sub(" ", text))]
        assert line.found == bool(whole), line.text


@pytest.mark.parametrize("language", ["en", "zh", "fr"])
def test_the_labelled_lines_are_many_and_differ(language: str) -> None:
    found = lines(language)
    assert len({line.text for line in found}) == len(found)
    assert sum(line.leaks for line in found) >= 200
    assert sum(not line.leaks for line in found) >= 200


def test_every_labelled_file_belongs_to_a_language() -> None:
    assert {file.stem for file in LABELLED.glob("*")} == {"en", "zh", "fr"}
