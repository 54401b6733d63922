"""What a person typed that may hold a password or a token, and output without it.

Addresses and commands are typed into options, variables and files, and any message may quote what
was typed: a refusal, a traceback, a library's warning. So whatever takes such text in notes it
here, and the screen before standard output and error shows it as records do, see
`clipbench.text.locations.redacted`. It stays light, for the command line imports it.
"""

from __future__ import annotations

import itertools
import re
import urllib.parse
from collections.abc import Iterable, Iterator

from clipbench.text.locations import has_secret, redacted

# A scheme is short: of a long word no more than that is looked at from each of its letters.
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]{0,31}://[^\s\"'<>]+", re.IGNORECASE)
_COMMAND = re.compile(r"pipe:.*", re.IGNORECASE | re.DOTALL)
_TOKEN = re.compile(r"(?<![/\w.+-])[\w.+-]{12,}")  # of a command: long, and no part of a path
_SHORTEST = 6  # characters of a password or token that is looked for by itself
_MOST = 64  # shards of a pattern whose addresses are noted one by one
_shown: dict[str, str] = {}  # text -> what is shown in its place


def note(texts: Iterable[str]) -> None:
    """Let what may hold a secret in these texts no longer be shown."""
    for text in texts:
        for pattern in (_COMMAND, _ADDRESS):
            for found in pattern.findall(text):
                for part in found.split("::"):
                    if has_secret(part):
                        _note_part(part)


def conceal(text: str) -> str:
    """Return a text with what was noted as records have it."""
    for secret in sorted(_shown, key=len, reverse=True) if _shown else ():
        if secret in text:
            text = text.replace(secret, _shown[secret])
    return text


def _note_part(part: str) -> None:
    _put(part, redacted(part))
    if part.lower().startswith("pipe:"):
        command = part.partition(":")[2]
        _put(command, redacted(part).partition(":")[2])
        for one in _expanded(command):
            _put(one, redacted(f"pipe:{one}").partition(":")[2])
        for word in _TOKEN.findall(command):
            if re.search("[a-zA-Z]", word) and re.search("[0-9]", word):
                _put(word, "(redacted)")
        return
    for one in _expanded(part):
        _put(one, redacted(one))
    for secret in _secrets_of(part):
        _put(secret, "(redacted)")


def _secrets_of(address: str) -> Iterator[str]:
    """Yield passwords and values of an address, as they stand in it and as they are meant."""
    rest = address.partition("://")[2]
    user, at, _ = rest.partition("/")[0].rpartition("@")
    if at:
        yield user
        yield user.partition(":")[2] or user
    for pair in re.split("[&#;]", rest.partition("?")[2]):
        yield pair.partition("=")[2] or pair
    yield rest.partition("?")[2]


def _expanded(text: str) -> Iterator[str]:
    """Yield the shards that a pattern stands for, the first of them."""
    if "{" not in text:
        return
    import braceexpand  # noqa: PLC0415 - seldom needed

    try:
        yield from itertools.islice(braceexpand.braceexpand(text), _MOST)
    except ValueError:  # braces that do not match, which is told when they are used
        return


def _put(secret: str, shown: str) -> None:
    """Note a text in the forms in which messages quote it."""
    plain = urllib.parse.unquote(secret)
    for form in (secret, plain, repr(secret)[1:-1], " ".join(secret.split()), secret.strip()):
        if len(form) >= _SHORTEST:
            _shown.setdefault(form, shown)
