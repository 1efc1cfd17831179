"""`python -m builder`: the command, also where it is not installed."""

from builder.cli import main

main()
