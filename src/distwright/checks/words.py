"""What checked programs and packages say, made safe to keep and to show: bounded, on one line, printable."""

from distwright.errors import quoted

LIMIT = 300


def shown(text: str, limit: int = LIMIT) -> str:
    """Cut a text from outside and make it one printable line."""
    return quoted(text.strip(), limit)[1:-1]
