r"""Texts, commands and paths in LaTeX's language, and how wide they will be.

Escapes need no package: ``\char`` is in every LaTeX, ``\textquotesingle`` since 2020.
"""

from __future__ import annotations

import re
from pathlib import Path

from gandiff.reports.values import visible

POINTS = 8.0  # size of \footnotesize where text has 10 points, in points
SMALLER = 0.94  # width of \scriptsize beside it
_BOLDER = 1.15
_COMMANDS = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    '"': "''",
    "\u00a0": "~",
    "\u2191": r"$\uparrow$",
    "\u2193": r"$\downarrow$",
    "\u2192": r"$\rightarrow$",
    "\u2212": "$-$",
    "\u00d7": r"$\times$",
    "\u00b5": r"$\mu$",
    "\u03c4": r"$\tau$",
    "\u221e": r"$\infty$",
    "\u2264": r"$\leq$",
    "\u2265": r"$\geq$",
    "\u2020": r"\dag{}",
    "\u2021": r"\ddag{}",
    "\u2011": "-",
    **{special: f"\\{special}" for special in "#$%&_{}"},
}
# Typewriter fonts have these in their places of ASCII, where they can be copied from the PDF.
_TYPED = {
    **{c: s for c, s in _COMMANDS.items() if not c.isascii()},
    **{special: f"{{\\char{ord(special)}}}" for special in '\\^~<>|"#$%&{}'},
    "_": r"{\char95}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
}
# Widths in em of the letters of Computer Modern at 8 points; all others are as wide as digits.
_WIDTHS = {
    **dict.fromkeys("ijl.,:;!'[]|", 0.295),
    **dict.fromkeys("frstIJ()- ", 0.41),
    **dict.fromkeys("mw%", 0.885),
    **dict.fromkeys("ABCDEFGHKLNOPQRSTUVXYZ&@\u2191\u2193\u00d7\u2212", 0.83),
    **dict.fromkeys("MW\u2192", 1.09),
}
_DIGIT, _FOREIGN = 0.531, 1.06


def _language(commands: dict[str, str]) -> re.Pattern[str]:
    """What must not stand as it is: special letters, and two that would become one."""
    return re.compile("|".join(map(re.escape, commands)) + r"|([-,'])(?=\1)")


_LONG = re.compile(r"(\S{25,})")  # names that do not fit into what is left of a line
_PIECES = re.compile(r"\w{1,12}\W?|\W")
_SPECIAL, _SPECIAL_TYPED = _language(_COMMANDS), _language(_TYPED)


def tex(text: object) -> str:
    """Text that LaTeX sets as it is; two hyphens do not become a dash, long names are broken."""
    return _set(str(text), _SPECIAL, _COMMANDS)


def code(text: str) -> str:
    """A command or a name in files, to be copied from the PDF: straight quotes, two hyphens."""
    return f"\\texttt{{{_set(text, _SPECIAL_TYPED, _TYPED)}}}"


def _set(text: str, special: re.Pattern[str], commands: dict[str, str]) -> str:
    parts = _LONG.split(visible(text))  # short and long ones in turn
    pieces = [_PIECES.findall(part) if k % 2 else [part] for k, part in enumerate(parts)]
    return "".join(
        r"\allowbreak{}".join(
            special.sub(lambda match: commands.get(match[0]) or f"{match[0]}{{}}", piece)
            for piece in some
        )
        for some in pieces
    )


def graphic(path: Path, options: str) -> str:
    r"""A picture by its path, in which no letters but ``\`` and ``"`` mean more than themselves."""
    letters = "".join(f"\\catcode`\\{special}=12" for special in "#$%&^_~")
    return f"{{{letters}\\includegraphics[{options}]{{{path.as_posix()}}}}}"


def width(text: str, *, bold: bool = False) -> float:
    """About how wide a text is, in points, at ``POINTS``."""
    ems = sum(_WIDTHS.get(c, _DIGIT if ord(c) < 0x250 else _FOREIGN) for c in text)
    return POINTS * ems * (_BOLDER if bold else 1.0)
