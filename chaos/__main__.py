"""`python -m chaos` is `linkstorm`."""

from chaos.cli import main

main()
