"""The one exception for what a user can mend."""


class UserError(Exception):
    """Shown by the command line as one line that names the mend, with exit code 2 and no traceback."""


def one_line(error: BaseException) -> str:
    """An exception as a status tells it: a user's line as it is, of a bug its kind and first line."""
    text = str(error).strip()
    first = text.splitlines()[0][:300] if text else ""
    return first if isinstance(error, UserError) else f"{type(error).__name__}: {first}".removesuffix(": ")
