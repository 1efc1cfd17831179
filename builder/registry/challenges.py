"""What a registry wants of whoever asks: the challenges of a WWW-Authenticate header (RFC 9110, 11.6.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# The schemes that can be met, in the order in which they are preferred.
SCHEMES = ("bearer", "basic")
# In characters; real ones have some two hundred.
_MAX_HEADER = 8192
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SEPARATORS = re.compile(r"[ \t,]*")
# A value without quotes should be a token; some servers write a URL there.
_PARAMETER = re.compile(
    rf'({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"=][^\s,"]*)(?=[ \t]*(?:,|$)))', re.DOTALL
)
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
    position = _behind_separators(header, 0)
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
        position = _behind_separators(header, position)
    return tuple(Challenge(scheme, parameters) for scheme, parameters in challenges)


def choose(headers: Sequence[str]) -> Challenge | None:
    """Choose the challenge to meet: a token, if it is said where, before a password, before what is not known."""
    challenges = [each for header in headers for each in parse_challenges(header)]

    def rank(challenge: Challenge) -> int:
        if challenge.scheme == "bearer" and challenge.parameters.get("realm"):
            return 0
        return SCHEMES.index(challenge.scheme) + 1 if challenge.scheme in SCHEMES else len(SCHEMES) + 1

    return min(challenges, key=rank, default=None)


def _behind_separators(header: str, position: int) -> int:
    match = _SEPARATORS.match(header, position)
    return match.end() if match else position
