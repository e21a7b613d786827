"""Find the formulas in a Markdown text."""

import re
from collections.abc import Callable

# Code first: a dollar inside code is a dollar. A formula's first and last character are no blanks.
PARTS = re.compile(
    r"(?P<code>```.*?```|`[^`\n]*`)"
    r"|\$\$(?P<display>.+?)\$\$"
    r"|(?<![\\\w$])\$(?P<inline>[^\s$](?:[^$\n]*[^\s$\\])?)\$(?!\d)",
    re.S,
)


def replace_formulas(markdown: str, draw: Callable[[str, bool], str]) -> str:
    """``markdown`` with every formula replaced by ``draw(latex, display)``.

    >>> replace_formulas("an $A_i$ for `$5`", lambda latex, display: f"<{latex}>")
    'an <A_i> for `$5`'
    """

    def one(match: re.Match) -> str:
        if match["code"]:
            return match["code"]
        display = match["display"] is not None
        return draw(" ".join((match["display"] or match["inline"]).split()), display)

    return PARTS.sub(one, markdown)
