"""`python -m chaos` is `linkstorm`."""

from chaos.cli.entry import main

main()
