"""What a registry asks for before it answers: the challenges of a WWW-Authenticate header (RFC 9110, 11.6.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

# In characters; real ones have some two hundred.
_MAX_HEADER = 8192
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SEPARATORS = re.compile(r"[ \t,]*")
_PARAMETER = re.compile(rf'({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN})(?=[ \t]*(?:,|$)))', re.DOTALL)
# The scheme, and the credentials in one piece (token68) that stand in place of parameters in some schemes.
_SCHEME = re.compile(rf"({_TOKEN})(?=[ \t,]|$)(?:[ \t]+[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$)))?")


@dataclass(frozen=True, slots=True)
class Challenge:
    """A scheme in lower case, such as `bearer`, and its parameters by lower-case name."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """Read the challenges of a header, in order; what cannot be read ends the list."""
    challenges: list[tuple[str, dict[str, str]]] = []
    header = header[:_MAX_HEADER]
    position = _end(_SEPARATORS, header, 0)
    while position < len(header):
        if challenges and (parameter := _PARAMETER.match(header, position)):
            name, quoted, plain = parameter.groups()
            value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
            # The first counts: a second one of that name is a mistake or an attempt.
            challenges[-1][1].setdefault(name.lower(), value)
            position = parameter.end()
        elif scheme := _SCHEME.match(header, position):
            challenges.append((scheme[1].lower(), {}))
            position = scheme.end()
        else:
            break
        position = _end(_SEPARATORS, header, position)
    return tuple(Challenge(scheme, parameters) for scheme, parameters in challenges)


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    return match.end() if match else position
