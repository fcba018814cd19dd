"""The program under test: `linkstorm` with one more experiment, which takes seconds."""

from __future__ import annotations

from pathlib import Path

from chaos.cli import entry, exits

EXPERIMENTS = Path(__file__).parent / "experiments"


def main() -> None:
    """Run `linkstorm` with the short experiment added."""
    exits.end_at_once()
    from chaos import experiments

    experiments.__path__.append(str(EXPERIMENTS))
    entry.main()


if __name__ == "__main__":
    main()
