"""How methods look."""

from reports.figures.looks import looks
from tests.support.contrast import contrast


def test_a_methods_look_does_not_depend_on_the_suite():
    everything = looks(["base", "grpo", "opsd", "sdpo", "grpo_opsd", "rlsd", "mine"])
    assert looks(["rlsd", "mine"]) == {method: everything[method] for method in ("rlsd", "mine")}
    assert len({(look.colour, look.dash) for look in everything.values()}) == len(everything)


def test_a_line_is_seen_on_white_and_on_black():
    """WCAG 1.4.11: what a graphic cannot be read without has a contrast of 3."""
    for look in looks(["base", "grpo", "opsd", "sdpo", "grpo_opsd", "rlsd", "a", "b", "c"]).values():
        assert contrast(look.colour, "#ffffff") >= 3, look
        assert contrast(look.dark, "#161616") >= 3, look
