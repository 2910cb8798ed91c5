"""What differs between two trees of settings."""

from typing import Any, NamedTuple


class Difference(NamedTuple):
    """A dotted key and its two values; None stands for a key that one side lacks, too."""

    key: str
    there: Any
    asked: Any


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as dotted keys; an empty section says nothing."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def differences(there: dict[str, Any], asked: dict[str, Any]) -> list[Difference]:
    """By key."""
    old, new = flat(there), flat(asked)
    return [Difference(key, old.get(key), new.get(key)) for key in sorted(old | new) if old.get(key) != new.get(key)]
