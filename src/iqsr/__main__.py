"""`python -m iqsr` is the `iqsr` command."""

from iqsr.cli import main

main()
