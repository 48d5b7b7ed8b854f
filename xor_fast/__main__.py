"""`python -m xor_fast`, the same as the command `xor-fast`."""

from xor_fast.cli.app import main

if __name__ == "__main__":
    main()
