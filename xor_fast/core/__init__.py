"""The rules of a RELOAD node, without I/O: (now, link, bytes) in; bytes, actions and one deadline out.

Nothing here reads a clock, draws randomness or touches a socket; `tests/test_floors.py` guards that.
"""
