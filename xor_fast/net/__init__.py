"""The network driver: sockets, TLS, and the loop around a node. It alone needs OpenSSL, the compiled codec does not."""

from xor_fast.errors import NotBuilt

try:
    from xor_fast.net import openssl as openssl  # here once, so that no module below meets a bare ImportError
except ModuleNotFoundError as error:
    raise NotBuilt(
        "xor_fast was built without TLS, so it has no network driver: install the headers of OpenSSL 3 "
        "(Debian: apt-get install libssl-dev), then build it again: "
        "pip install --force-reinstall --no-deps --no-cache-dir --no-binary xor_fast xor_fast, or make build"
    ) from error
except ImportError as error:
    raise NotBuilt(f"the library of OpenSSL 3 cannot be loaded ({error}): install it (Debian: libssl3)") from error
