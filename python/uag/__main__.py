"""`python -m uag`: the command line."""

from uag.cli.main import main

if __name__ == "__main__":
    main()
