"""How a teacher is told: the words of the published methods.

OPSD's first release and RLSD invite to understand the reference and go one's own way; OPSD's later release forbids to
copy it (`own_words`); SDPO shows a successful rollout of the same group (`sibling`), and the RLSD authors' variant of
it a failed one as well.
"""

from methods.base import Context

TEMPLATES = {
    "answer": "Reference answer: {}\nUse it to check the reasoning, but solve the problem in your own words.",
    "solution": "Correct solution:\n{}\n\nUse it to check the reasoning, but solve the problem in your own words.",
    "own_words": "Correct solution:\n{}\n\nDo not copy, rephrase or mention it: solve the problem in your own words.",
    "sibling": "Correct solution:\n{}\n\nSolve the problem correctly.",
    "sibling_and_failure": "Correct solution:\n{}\n\nWrong solution:\n{}\n\nSolve the problem correctly.",
}


def context(kind: str, text: str, failure: str = "") -> Context:
    """A context in the words of a kind of `TEMPLATES`; `failure` is shown by `sibling_and_failure` alone."""
    return Context(TEMPLATES[kind].format(text, failure), text)
