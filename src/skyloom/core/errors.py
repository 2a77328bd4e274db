"""Errors with one line for the person who reads them, and the exit code that a script reads.

Flow  every layer raises these; `skyloom.app.cli` prints the line and exits with `exit_code`.
"""


class SkyloomError(Exception):
    """Anything that Skyloom itself reports; the message is one line: file, row, field, remedy."""

    exit_code: int = 1


class BadInput(SkyloomError):
    """The user's input is wrong: a missing file, an unknown name, a malformed value. Exit code 2."""

    exit_code = 2


class MissingExtra(BadInput):
    """A plug-in needs a package that the installed extras do not bring."""


class FailedWork(SkyloomError):
    """The input was fine and the work failed: disk full, divergence, a teacher that gave up. Exit code 1."""


class BadRow(Exception):
    """One row of a data set cannot be used; whoever reads the set counts and lists it as a reject."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason

    def __reduce__(self) -> tuple[type["BadRow"], tuple[str, str]]:
        """Exceptions pickle by their message alone; workers send ours across processes whole."""
        return BadRow, (self.field, self.reason)
