"""`python -m chaos` is `linkstorm`."""

from chaos.entry import main

main()
