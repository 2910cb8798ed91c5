"""What differs between two trees of settings."""

from typing import Any


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as dotted keys; an empty section says nothing."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def differences(there: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    """`train.steps 1 there, 2 asked` for each dotted key that differs; None stands for a key that is lacking, too."""
    old, new = flat(there), flat(asked)
    keys = [key for key in sorted(old | new) if old.get(key) != new.get(key)]
    return [f"{key} {old.get(key)!r} there, {new.get(key)!r} asked" for key in keys]
