"""We-Math (testmini, 525 problems in 1740 rows): the four-dimensional score, strict and loose.

A problem is one multi-step row and its one-step parts. All parts right and the whole right: complete mastery (CM);
parts right, whole wrong: inadequate generalisation (IG); whole right without the parts: rote memorisation (RM);
neither: insufficient knowledge (IK). Loose counts CM when any part is right, RM only when none is.
"""

import re
from collections import Counter

from eval.grading.choice import choose
from eval.grading.extract import cut
from eval.grading.score import (
    Aggregate,
    Bench,
    Graded,
    Row,
    Rule,
    Scores,
    Verdict,
    mean_by,
    standard_error,
)
from runners.errors import UserError

LETTERS = "ABCDEFGH"
CLASSES = ("CM", "IG", "RM", "IK")
_WORTH = {"CM": 1.0, "IG": 0.5, "RM": 0.0, "IK": 0.0}
_OPTIONS = re.compile(r"(?:^|;)\s*([A-H])[.\uff0e]\s*(.*?)(?=;\s*[A-H][.\uff0e]|$)", re.S)
_DELETE = str.maketrans("", "", "><:.")


def parse(reply: str) -> str | None:
    """The official parser: the first character after the last `Answer`, if it is A to H."""
    tail = reply.rpartition("Answer")[2].strip().translate(_DELETE).strip()
    return tail[0] if tail and tail[0] in LETTERS else None


def options_of(row: Row) -> dict[str, str]:
    """Letter -> option text, of the official column `A. 300;B. 400`; texts are empty where the row has none."""
    return dict.fromkeys(LETTERS, "") | dict(_OPTIONS.findall(str(row.get("option") or "")))


def grade(row: Row, reply: str, rule: Rule) -> Verdict:
    if rule == "official":
        letter, wrapper = parse(reply), "none"
        right = letter == row["answer"]
    else:
        said = cut(reply)
        letter, wrapper = choose(said, options_of(row)), said.wrapper
        right = letter is not None and letter == str(row["answer"]).strip().upper()
    return Verdict(letter, wrapper, letter is not None, right)


def problem_of(row: Row) -> str:
    return str(row["ID"])


def todays_id(problem: str) -> str:
    """The official file spelt three-step problems `3stpes_…` until October 2024; replies to it are still about."""
    return problem.replace("3stpes_", "3steps_", 1)


def keys_of(key: str) -> set[str]:
    """All row keys of the problem that has a row `key`: `3steps_2` -> 3steps_1, _2, _3, _multi."""
    prefix = key.partition("_")[0]
    return {f"{prefix}_{i + 1}" for i in range(int(prefix.removesuffix("steps")))} | {f"{prefix}_multi"}


def incomplete(rows: list[Row]) -> dict[str, set[str]]:
    """Problems that lack rows, with the keys they lack: such a problem has no class."""
    seen: dict[str, set[str]] = {}
    for row in rows:
        seen.setdefault(problem_of(row), set()).add(str(row["key"]))
    lacks = {problem: keys_of(next(iter(keys))) - keys for problem, keys in seen.items()}
    return {problem: keys for problem, keys in lacks.items() if keys}


def classify(steps: list[bool], multi: bool, loose: bool) -> str:
    if not multi:
        return "IG" if all(steps) else "IK"
    return "CM" if all(steps) or (loose and any(steps)) else "RM"


def four_dimensions(counts: dict[str, int]) -> Scores:
    """Score, rates and counts from how many problems fall in each class; the RM rate is out of RM + CM."""
    n = sum(counts[c] for c in CLASSES)
    solved = counts["RM"] + counts["CM"]
    rates = {f"{c}_rate": counts[c] / n for c in ("IK", "IG", "CM")}
    score = (counts["CM"] + 0.5 * counts["IG"]) / n
    return {
        "score": score,
        **{c: counts[c] for c in CLASSES},
        **rates,
        "RM_rate": counts["RM"] / solved if solved else None,
    }


def classes(graded: Graded, loose: bool) -> dict[str, str]:
    """Problem -> class."""
    parts: dict[str, list[bool]] = {}
    whole: dict[str, bool] = {}
    for row, correct in graded:
        if str(row["key"]).endswith("_multi"):
            whole[problem_of(row)] = bool(correct)
        else:
            parts.setdefault(problem_of(row), []).append(bool(correct))
    return {problem: classify(parts[problem], multi, loose) for problem, multi in whole.items()}


def aggregate(graded: Graded) -> Aggregate:
    """Strict score over the problems present; raises UserError on a problem that lacks rows."""
    if lacking := incomplete([row for row, _ in graded]):
        problem, keys = next(iter(lacking.items()))
        raise UserError(
            f"We-Math problem {problem} lacks {', '.join(sorted(keys))}: a partial problem has no class; give whole "
            "problems (--limit of this program does; with lm_eval use --metadata '{\"limit\": 20}')"
        )
    without_gold = {problem_of(row) for row, correct in graded if correct is None}
    graded = [(row, correct) for row, correct in graded if problem_of(row) not in without_gold]
    if not graded:
        return Aggregate(None, None, 0, {})
    strict, loose = classes(graded, loose=False), classes(graded, loose=True)
    values = [_WORTH[c] for c in strict.values()]
    scores: Scores = {}
    for name, found in (("strict", strict), ("loose", loose)):
        counts = Counter(found.values())
        for key, value in four_dimensions({c: counts[c] for c in CLASSES}).items():
            scores[name if key == "score" else f"{name}/{key}"] = value
    steps = mean_by(graded, step=lambda row: [_step(row)])
    scores |= {name: steps.get(f"step/{name}") for name in ("S1", "S2", "S3")}
    scores |= mean_by(graded, concept=_concept)
    return Aggregate(
        sum(values) / len(values),
        standard_error(values, list(strict)),
        len(values),
        scores,
        values,
        list(strict),
    )


def _step(row: Row) -> str:
    """How many steps a row asks for at once: S1 for a part, S2 and S3 for a whole."""
    steps, _, part = str(row["key"]).partition("steps_")
    return f"S{steps}" if part == "multi" else "S1"


def _concept(row: Row) -> list[str]:
    """The knowledge concept of a one-step row; a whole problem names several in one text."""
    concept = row.get("knowledge concept")
    return [str(concept)] if concept and _step(row) == "S1" else []


BENCH = Bench(
    name="wemath",
    label="We-Math",
    hub="We-Math/We-Math",
    configs=(),
    split="testmini",
    key=("ID", "key"),
    unit="problems",
    official_n=525,
    version="1",
    cluster=problem_of,
    grade=grade,
    aggregate=aggregate,
)
