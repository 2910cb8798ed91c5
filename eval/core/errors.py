"""The one exception for what a user can mend."""


class UserError(Exception):
    """Shown by the command line as one line that names the mend, with exit code 2 and no traceback."""
