"""How methods look."""

from reports.figures.looks import looks


def test_a_methods_look_does_not_depend_on_the_suite():
    everything = looks(["base", "grpo", "opsd", "sdpo", "grpo_opsd", "rlsd", "mine"])
    assert looks(["rlsd", "mine"]) == {method: everything[method] for method in ("rlsd", "mine")}
    assert len({(look.colour, look.dash) for look in everything.values()}) == len(everything)
