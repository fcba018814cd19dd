"""Find the first JSON value of a body; report a broken one in the words of Go's decoder."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NoReturn

SPACE = re.compile(rb"[ \t\r\n]*")
DIGITS = re.compile(rb"[0-9]*")
PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
ESCAPED = b'bfnrt\\/"u'
HEX = b"0123456789abcdefABCDEF"
LITERALS = {b"t": b"true", b"f": b"false", b"n": b"null"}
DEPTH_LIMIT = 10_000
DEPTH_READ = 3  # no request has fields deeper than that
NAMED = dict(zip(b"\a\b\t\n\v\f\r'\\", "abtnvfr'\\", strict=True))

State = Callable[[bytes], "State | None"]


class JsonSyntaxError(Exception):
    """Invalid JSON; the text is that of Go's decoder."""


def first_value(body: bytes) -> bytes:
    """Return the first JSON value of a body, without values nested deeper than `DEPTH_READ`.

    Text after the value is ignored.

    Raises:
        JsonSyntaxError: there is none.
    """
    try:
        return _Scanner(body).value()
    except IndexError:
        raise JsonSyntaxError("unexpected EOF" if body.strip(b" \t\r\n") else "EOF") from None


class _Scanner:
    """A position in a body, and the brackets open there; IndexError past the body's end.

    Each state is a method: it takes the character at the position, consumes the token that begins
    there, and returns the next state; None after a top-level value.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0
        self._open: list[bytes] = []
        self._read: list[bytes] = []
        self._unread_from = 0

    def value(self) -> bytes:
        """Consume a value, and return it."""
        state: State | None = self._value
        while state:
            self._skip(SPACE)
            state = state(self._here())
        self._read_on()
        return b"".join(self._read)

    def _value(self, first: bytes) -> State | None:
        if first in (b"{", b"["):
            return self._enter(first)
        if first == b'"':
            self._string()
        elif first == b"-" or first.isdigit():
            self._number()
        elif first in LITERALS:
            self._literal(LITERALS[first])
        else:
            self._broken("looking for beginning of value")
        return self._after_value()

    def _key_or_end(self, first: bytes) -> State | None:
        return self._leave() if first == b"}" else self._key(first)

    def _key(self, first: bytes) -> State:
        if first != b'"':
            self._broken("looking for beginning of object key string")
        self._string()
        return self._colon

    def _colon(self, first: bytes) -> State:
        if first != b":":
            self._broken("after object key")
        self._at += 1
        return self._value

    def _after_member(self, first: bytes) -> State | None:
        return self._after("}", self._key, "after object key:value pair", first)

    def _item_or_end(self, first: bytes) -> State | None:
        return self._leave() if first == b"]" else self._value(first)

    def _after_item(self, first: bytes) -> State | None:
        return self._after("]", self._value, "after array element", first)

    def _after(self, end: str, following: State, place: str, first: bytes) -> State | None:
        if first == end.encode():
            return self._leave()
        if first != b",":
            self._broken(place)
        self._at += 1
        return following

    def _enter(self, first: bytes) -> State:
        self._at += 1
        self._open.append(first)
        if len(self._open) > DEPTH_LIMIT:
            raise JsonSyntaxError(f"invalid character {_quoted(first[0])} exceeded max depth")
        if len(self._open) == DEPTH_READ:
            self._read_on()
        return self._key_or_end if first == b"{" else self._item_or_end

    def _leave(self) -> State | None:
        if len(self._open) == DEPTH_READ:
            self._unread_from = self._at
        self._at += 1
        self._open.pop()
        return self._after_value()

    def _read_on(self) -> None:
        self._read.append(self._body[self._unread_from : self._at])

    def _after_value(self) -> State | None:
        if not self._open:
            return None
        return self._after_member if self._open[-1] == b"{" else self._after_item

    def _string(self) -> None:
        self._at += 1
        while True:
            self._skip(PLAIN)
            first = self._here()
            if first not in (b'"', b"\\"):
                self._broken("in string literal")
            self._at += 1
            if first == b'"':
                return
            self._escape()

    def _escape(self) -> None:
        kind = self._here()
        if kind not in ESCAPED:
            self._broken("in string escape code")
        self._at += 1
        for _ in range(4 if kind == b"u" else 0):
            if self._here() not in HEX:
                self._broken("in \\u hexadecimal character escape")
            self._at += 1

    def _number(self) -> None:
        if self._here() == b"-":
            self._at += 1
            self._need_digit("in numeric literal")
        if self._here() == b"0":
            self._at += 1
        else:
            self._skip(DIGITS)
        if self._peek() == b".":
            self._at += 1
            self._need_digit("after decimal point in numeric literal")
            self._skip(DIGITS)
        if self._peek() in (b"e", b"E"):
            self._at += 1
            if self._here() in (b"+", b"-"):
                self._at += 1
            self._need_digit("in exponent of numeric literal")
            self._skip(DIGITS)

    def _literal(self, word: bytes) -> None:
        for letter in word:
            if self._here()[0] != letter:
                self._broken(f"in literal {word.decode()} (expecting {chr(letter)!r})")
            self._at += 1

    def _need_digit(self, place: str) -> None:
        if not self._here().isdigit():
            self._broken(place)

    def _skip(self, what: re.Pattern[bytes]) -> None:
        skipped = what.match(self._body, self._at)
        assert skipped
        self._at = skipped.end()

    def _peek(self) -> bytes:
        return self._body[self._at : self._at + 1]

    def _here(self) -> bytes:
        if not (here := self._peek()):
            raise IndexError
        return here

    def _broken(self, place: str) -> NoReturn:
        raise JsonSyntaxError(f"invalid character {_quoted(self._body[self._at])} {place}")


def _quoted(byte: int) -> str:
    """Return a byte as Go shows it: the Unicode character of that number, or its escape."""
    if byte in NAMED:
        return rf"'\{NAMED[byte]}'"
    if chr(byte).isprintable():
        return f"'{chr(byte)}'"
    return f"'\\x{byte:02x}'" if byte < 128 else f"'\\u{byte:04x}'"
