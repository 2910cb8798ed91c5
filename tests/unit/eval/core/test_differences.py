"""What differs between nested settings, by dotted key."""

from eval.core.differences import differences, flat


def test_sections_become_dotted_keys_and_an_empty_one_says_nothing() -> None:
    tree = {"b": {"y": {"z": [1]}, "none": {}}, "a": None}
    assert flat(tree) == {"b.y.z": [1], "a": None}
    assert flat({"b": 1}, "x.") == {"x.b": 1}


def test_both_values_are_named_and_lacking_is_none() -> None:
    there = {"train": {"steps": 1, "kl": 0.0}, "gone": "x", "unset": None, "params": {}}
    asked = {"train": {"steps": 2, "kl": 0.0}, "params": {"clip": 0.1}}
    assert differences(there, asked) == [
        "gone 'x' there, None asked",
        "params.clip None there, 0.1 asked",
        "train.steps 1 there, 2 asked",
    ]
    assert differences(there, there) == []
