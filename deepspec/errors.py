"""The one exception that means "the user can mend this"."""


class UserError(ValueError):
    """Bad input or configuration: printed as one line without a traceback, exit status 2.

    The message says what was expected, what came, and how to mend it.
    """
