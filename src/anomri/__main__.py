"""`python -m anomri` is the command `anomri`."""

from anomri.cli.app import main

main()
