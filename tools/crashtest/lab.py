"""The lab under test: `linkstorm` itself, with one experiment more that is over in seconds."""

from __future__ import annotations

from pathlib import Path

from chaos.cli import entry, exits

EXPERIMENTS = Path(__file__).parent / "experiments"


def main() -> None:
    """What `linkstorm` does."""
    exits.end_at_once()
    from chaos import experiments

    experiments.__path__.append(str(EXPERIMENTS))
    entry.main()


if __name__ == "__main__":
    main()
