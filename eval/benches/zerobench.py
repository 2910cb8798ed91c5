"""ZeroBench (334 sub-questions of 100 pictures): exact match of the last curly braces."""

import random
from dataclasses import replace

from eval.benches.bench import Bench, first, stem
from eval.benches.drawn import Problem, make_problem
from eval.grading.extract import cut
from eval.grading.reader import read
from eval.grading.score import Aggregate, Graded, Row, Rule, Verdict, accuracy


def parse(reply: str) -> str:
    """What the last braces hold, lower case, not stripped: `{ 5 }` is not `5`."""
    reply = reply.strip().lower()
    last, at = "", reply.find("{")
    while at >= 0 and (close := reply.find("}", at)) >= 0:
        line_end = reply.find("\n", at)
        if 0 <= line_end < close:  # braces do not cross lines
            at = reply.find("{", line_end)
        else:
            last, at = reply[at + 1 : close], reply.find("{", close)
    return last


def same(parsed: str, gold: str) -> bool:
    gold = gold.strip()
    return len(parsed) == len(gold) and parsed == gold.lower()  # lengths too: a few letters grow in lower case


SUFFIX = "\n\n\nLet's think step by step and give the final answer in curly braces, like this: {final answer}"
_MAIN = "zerobench"  # the split with the 100 main questions


class ZeroBench(Bench):
    name = "zerobench"
    label = "ZeroBench"
    hub = "jonathan-roberts1/zerobench"
    split = "zerobench_subquestions"
    official_n = 334
    unit = "sub-questions"
    key = ("question_id",)
    answer = "question_answer"
    answers_optional = True  # the public examples are without
    pictures = ("question_images_decoded",)
    asked = ("question_text",)
    # The authors published their rule with replies to MATH-Vision's questions, each beside its gold.
    brought = {"question_id": "mathv_id", "question_answer": "ground_truth"}
    mini_splits = ("zerobench_subquestions", _MAIN)

    def grade(self, row: Row, reply: str, rule: Rule) -> Verdict:
        gold = row["question_answer"]
        if rule == "official":
            parsed, wrapper = parse(reply), "none"
            right = gold is not None and same(parsed, str(gold))
        else:
            said = cut(reply)
            extracted, right = read(str(gold if gold is not None else "0"), said)
            parsed, wrapper = extracted or "", said.wrapper
        return Verdict(parsed or None, wrapper, bool(parsed), None if gold is None else right)

    def prompt(self, row: Row) -> str:
        return f"{'<image>' * len(row['question_images_decoded'])}{row['question_text']}{SUFFIX}"

    def respelt(self, row: Row) -> Row:
        """Also read: `file` or `question_images` (paths) for the pictures, `website_text` for the question, `answer`
        for its answer, and the name of `file` for a missing id."""
        pictures = first(row, "question_images_decoded", "file", "question_images")
        return {
            **row,
            "question_id": first(row, "question_id") or stem(row.get("file")),
            "question_text": first(row, "question_text", "website_text"),
            "question_answer": first(row, "question_answer", "answer"),
            "question_images_decoded": pictures if isinstance(pictures, list) else [pictures] if pictures else [],
        }

    def cluster(self, row: Row) -> str:
        """The main question that a sub-question belongs to: `12_3` -> `12`. Its sub-questions share the pictures."""
        return str(row["question_id"]).rpartition("_")[0] or str(row["question_id"])

    def aggregate(self, graded: Graded) -> Aggregate:
        """Micro (share of sub-questions, the score) and macro (mean over pictures, the official table's pass@1)."""
        total = accuracy(graded, self.cluster)
        if total.score is None:
            return total
        shares: dict[str, list[bool]] = {}
        for row, correct in graded:
            if correct is not None:
                shares.setdefault(self.cluster(row), []).append(correct)
        macro = sum(sum(s) / len(s) for s in shares.values()) / len(shares)
        return total._replace(scores=total.scores | {"micro": total.score, "macro": macro, "pictures": len(shares)})

    def draw(self, split: str, seed: int, times: int = 1) -> list[tuple[Row, Problem]]:
        main = split == _MAIN
        rng = random.Random(f"zerobench_main-{seed}" if main else f"zerobench-{seed}")
        pairs = []
        for i in range(20 * times):
            whole = make_problem(rng, "all")
            kinds = {"main": "all"} if main else {"1": "sum", "2": "weighted", "3": "both"}
            for part, kind in kinds.items():
                problem = replace(whole, kind=kind)
                row = {
                    "question_id": f"mini_{i + 1}_{part}",
                    "question_text": problem.question,
                    "question_images_decoded": [problem.scene.picture()],
                    "question_answer": problem.answer,
                    "question_images": [f"images/mini_{i + 1}_0.png"],
                    "image_attribution": "drawn",
                }
                pairs.append((row, problem))
        return pairs
