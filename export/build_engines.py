"""A checkpoint -> a bundle, as a script: `python export/build_engines.py` is `cstm build`."""

import sys

if __name__ == "__main__":
    from cstm.commands.main import script

    sys.exit(script("build"))
