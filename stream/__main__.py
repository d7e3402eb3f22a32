"""`python -m stream`: the command line where no `tidecast` is on the path."""

from stream.cli import main

if __name__ == "__main__":
    main()
