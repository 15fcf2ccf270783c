"""`python -m megdt_opt`: the command line."""

from megdt_opt.cli.app import main

if __name__ == "__main__":
    main()
