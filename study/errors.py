"""The one kind of error that a user can mend."""


class UserError(ValueError):
    """Bad input: its message is one line that says what is wrong, where, and what would be right."""
