"""We-Math (testmini, 525 problems in 1740 rows): the four-dimensional score, strict and loose.

A problem is one multi-step row and its one-step parts. All parts right and the whole right: complete mastery (CM);
parts right, whole wrong: inadequate generalisation (IG); whole right without the parts: rote memorisation (RM);
neither: insufficient knowledge (IK). Loose counts CM when any part is right, RM only when none is.
"""

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from eval.benches.bench import Bench, option
from eval.benches.drawn import Problem, make_problem, with_options
from eval.core.errors import UserError
from eval.grading.choice import choose
from eval.grading.extract import cut
from eval.grading.score import Aggregate, Graded, Row, Rule, Scores, Verdict, mean_by, standard_error

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


def problem_of(row: Row) -> str:
    return str(row["ID"])


def keys_of(key: str) -> set[str]:
    """All row keys of the problem that has a row `key`: `3steps_2` -> 3steps_1, _2, _3, _multi."""
    prefix = key.partition("_")[0]
    return {f"{prefix}_{i + 1}" for i in range(int(prefix.removesuffix("steps")))} | {f"{prefix}_multi"}


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


def _step(row: Row) -> str:
    """How many steps a row asks for at once: S1 for a part, S2 and S3 for a whole."""
    steps, _, part = str(row["key"]).partition("steps_")
    return f"S{steps}" if part == "multi" else "S1"


def _concept(row: Row) -> list[str]:
    """The knowledge concept of a one-step row; a whole problem names several in one text."""
    concept = row.get("knowledge concept")
    return [str(concept)] if concept and _step(row) == "S1" else []


_KEY = re.compile(r"[1-9]steps_([1-9]|multi)")


class WeMath(Bench):
    name = "wemath"
    label = "We-Math"
    hub = "We-Math/We-Math"
    split = "testmini"
    official_n = 525
    unit = "problems"
    key = ("ID", "key")
    pictures = ("image_path",)
    asked = ("question", "option")
    spelt = {"image_path": ("file", "image_path", "image")}
    metrics = ("loose",)
    mini_splits = ("testmini",)

    def grade(self, row: Row, reply: str, rule: Rule) -> Verdict:
        if rule == "official":
            letter, wrapper = parse(reply), "none"
            right = letter == row["answer"]
        else:
            said = cut(reply)
            letter, wrapper = choose(said, options_of(row)), said.wrapper
            right = letter is not None and letter == str(row["answer"]).strip().upper()
        return Verdict(letter, wrapper, letter is not None, right)

    def prompt(self, row: Row) -> str:
        """The official text, the option string verbatim."""
        return (
            "<image>Now, we require you to solve a multiple-choice math question. "
            "Please briefly describe your thought process and provide the final answer(option).\n"
            f"Question: {row['question']}\nOption: {row['option']}\n"
            "Regarding the format, please answer following the template below, and be sure to include two <> symbols:\n"
            "<Thought process>: <<your thought process>> <Answer>: <<your option>>"
        )

    def fault(self, row: Row) -> str | None:
        if _KEY.fullmatch(str(row["key"])):
            return None
        return f"has the key {row['key']!r}, not one such as 2steps_1 or 3steps_multi"

    def gold(self, row: Row) -> str:
        # One string of options, and a few are irregular: then the letter has to do, the question shows them all.
        letter = str(row["answer"])
        found = re.search(rf"(?:^|;)\s*{re.escape(letter)}\.(.*?)(?=;\s*[A-H]\.|$)", str(row["option"]), re.S)
        return option(letter, found[1].strip().rstrip(";") if found else None)

    def problem(self, row: Row) -> str:
        return str(row.get("ID"))

    def lacking(self, rows: Sequence[Row]) -> dict[str, set[str]]:
        """A problem that lacks rows has no class."""
        seen: dict[str, set[str]] = {}
        for row in rows:
            seen.setdefault(problem_of(row), set()).add(str(row["key"]))
        lacks = {problem: keys_of(next(iter(keys))) - keys for problem, keys in seen.items()}
        return {problem: keys for problem, keys in lacks.items() if keys}

    def cluster(self, row: Row) -> str:
        return problem_of(row)

    def todays_id(self, row_id: str) -> str:
        """The official file spelt three-step problems `3stpes_…` until October 2024; replies to it are still about."""
        return row_id.replace("3stpes_", "3steps_", 1)

    def aggregate(self, graded: Graded) -> Aggregate:
        """Strict score over the problems present; raises UserError on a problem that lacks rows."""
        if lacking := self.lacking([row for row, _ in graded]):
            problem, keys = next(iter(lacking.items()))
            raise UserError(
                f"We-Math problem {problem} lacks {', '.join(sorted(keys))}: a partial problem has no class; give "
                "whole problems (--limit of this program does; with lm_eval use --metadata '{\"limit\": 20}')"
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
        problems = list(strict)
        error = standard_error(values, problems)
        return Aggregate(sum(values) / len(values), error, len(values), scores, values, problems)

    def official_summary(self, scores: Scores) -> dict[str, Any]:
        """The strict and the loose score, each with its four counts and rates."""
        return {
            level: {
                "score": scores.get(level),
                **{name.removeprefix(f"{level}/"): v for name, v in scores.items() if name.startswith(f"{level}/")},
            }
            for level in ("strict", "loose")
        }

    def draw(self, split: str, seed: int, times: int = 1) -> list[tuple[Row, Problem]]:
        rng = random.Random(f"wemath-{seed}")
        plans = [("2steps", ("count", "sum"), "weighted")] * 12 + [("3steps", ("count", "sum", "weighted"), "both")] * 8
        plans *= times
        pairs = []
        for i, (prefix, steps, multi) in enumerate(plans):
            base = make_problem(rng, multi)
            for j, kind in enumerate((*steps, multi)):
                problem = with_options(replace(base, kind=kind), 4)
                options = [*problem.options, "No correct answer"]
                row = {
                    "ID": f"mini_{prefix}_{i + 1}",
                    "split": "mini",
                    "knowledge concept": "Visual counting" if kind == "count" else "Visual arithmetic",
                    "question": problem.question,
                    "option": ";".join(f"{LETTERS[n]}. {o}" for n, o in enumerate(options)),
                    "answer": problem.answer,
                    "image_path": problem.scene.picture(),
                    "key": f"{prefix}_multi" if j == len(steps) else f"{prefix}_{j + 1}",
                    "question number": i + 1,
                    "knowledge concept description": "",
                }
                pairs.append((row, problem))
        return pairs
