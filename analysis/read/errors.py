"""What a study folder cannot answer."""

from record.errors import UserError


class StudyError(UserError):
    """The study folder cannot answer the request; the message is one line and says what to do instead."""
