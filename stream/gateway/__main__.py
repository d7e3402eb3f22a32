"""`python -m stream.gateway`, as `tidecast up` starts it."""

from stream.gateway.server import main
from stream.settings import load

if __name__ == "__main__":
    main(load())
