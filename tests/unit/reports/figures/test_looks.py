"""How methods look."""

from reports.figures.looks import looks
from tests.support.contrast import contrast


def test_a_methods_look_does_not_depend_on_the_suite():
    everything = looks(["base", "grpo", "opsd", "sdpo", "grpo_opsd", "rlsd", "mine"])
    assert looks(["rlsd", "mine"]) == {method: everything[method] for method in ("rlsd", "mine")}
    assert len({(look.colour, look.dash) for look in everything.values()}) == len(everything)


def test_no_two_methods_look_alike():
    """Colour tells them apart with the dash of their lines, and with the mark of their points."""
    found = looks(["base", "grpo", "opsd", "sdpo", "grpo_opsd", "rlsd", *(f"mine{i:02}" for i in range(30))]).values()
    assert len({(look.colour, look.dash) for look in found}) == len(found)
    assert len({(look.colour, look.marker) for look in found}) == len(found)
    assert len({(look.dark, look.dash) for look in found}) == len(found)


def test_a_line_is_seen_on_white_and_on_black():
    """WCAG 1.4.11: what a graphic cannot be read without has a contrast of 3."""
    for look in looks(["base", "grpo", "opsd", "sdpo", "grpo_opsd", "rlsd", *"abcdefg"]).values():
        assert contrast(look.colour, "#ffffff") >= 3, look
        assert contrast(look.dark, "#161616") >= 3, look
