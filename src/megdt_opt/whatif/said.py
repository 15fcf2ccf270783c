"""What the answers to questions have in common: words."""

from __future__ import annotations

from html import escape


class Said:
    """An answer that is whole as a text and in a notebook, and one line where a console echoes it."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {str(self).splitlines()[0]}>"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"
