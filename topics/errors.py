"""The root of tidecast's errors.

    TidecastError    an error that whoever runs tidecast can mend; its message says what was got,
                     what is allowed and what to do, and the command line shows it without a
                     traceback

Each module that raises has a tree of its own under it, drawn in its docstring.
"""


class TidecastError(Exception):
    """An error that whoever runs tidecast can mend."""
