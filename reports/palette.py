"""Colours of picture and page, light and dark; colour-blind readers can tell the arms apart.

Naive is vermilion and fixed is blue, after Okabe and Ito (Color Universal Design, 2008), darkened
or lightened until text in them has a contrast of 4.5 against the paper.
"""

LIGHT = {
    "paper": "#ffffff",
    "raised": "#f6f7f8",
    "ink": "#1b1f24",
    "soft": "#59636e",
    "line": "#d8dde2",
    "shade": "#8a6d00",
    "naive": "#b84a00",
    "fixed": "#0067a6",
    "good": "#1a6e3c",
    "bad": "#b3261e",
    "void": "#7a3aa8",
}
DARK = {
    "paper": "#14171a",
    "raised": "#1c2024",
    "ink": "#e6e9ec",
    "soft": "#9aa4ae",
    "line": "#333a41",
    "shade": "#d9b84a",
    "naive": "#ff9a57",
    "fixed": "#67b3f0",
    "good": "#63c98b",
    "bad": "#ff8a80",
    "void": "#c79bea",
}


def properties(colours: dict[str, str]) -> str:
    """CSS custom properties: `--paper: #ffffff; …`."""
    return " ".join(f"--{name}: {value};" for name, value in colours.items())
