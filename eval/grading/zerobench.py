"""ZeroBench (334 sub-questions of 100 pictures): exact match of the last curly braces."""

from eval.grading.extract import cut
from eval.grading.reader import read
from eval.grading.score import (
    Aggregate,
    Bench,
    Graded,
    Row,
    Rule,
    Verdict,
    accuracy,
    pass_rates,
)


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


def grade(row: Row, reply: str, rule: Rule) -> Verdict:
    gold = row["question_answer"]
    if rule == "official":
        parsed, wrapper = parse(reply), "none"
        right = gold is not None and same(parsed, str(gold))
    else:
        said = cut(reply)
        extracted, right = read(str(gold if gold is not None else "0"), said)
        parsed, wrapper = extracted or "", said.wrapper
    return Verdict(parsed or None, wrapper, bool(parsed), None if gold is None else right)


def picture_of(row: Row) -> str:
    """The main question that a sub-question belongs to: `12_3` -> `12`. Its sub-questions share the pictures."""
    return str(row["question_id"]).rpartition("_")[0] or str(row["question_id"])


def aggregate(graded: Graded) -> Aggregate:
    """Micro (share of sub-questions, the score) and macro (mean over pictures, the official table's pass@1)."""
    total = accuracy(graded, picture_of)
    if total.score is None:
        return total
    shares: dict[str, list[bool]] = {}
    for row, correct in graded:
        if correct is not None:
            shares.setdefault(picture_of(row), []).append(correct)
    macro = sum(sum(s) / len(s) for s in shares.values()) / len(shares)
    return total._replace(scores=total.scores | {"micro": total.score, "macro": macro, "pictures": len(shares)})


def pass_counts(correct_of_k: list[int], k: int) -> dict[str, float]:
    """The leaderboard's three of `pass_rates`: pass@1 (mean share), pass@k (any) and pass^k (all)."""
    rates = pass_rates(correct_of_k, k)
    return {name: rates[name] for name in ("pass@1", f"pass@{k}", f"pass^{k}")}


BENCH = Bench(
    name="zerobench",
    label="ZeroBench",
    hub="jonathan-roberts1/zerobench",
    configs=(),
    split="zerobench_subquestions",
    key=("question_id",),
    unit="sub-questions",
    official_n=334,
    version="1",
    cluster=picture_of,
    grade=grade,
    aggregate=aggregate,
)
