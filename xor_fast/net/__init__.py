"""The network driver: sockets, TLS, and the loop around a node. It alone needs OpenSSL, the compiled codec does not."""

from xor_fast.errors import NotBuilt

try:
    from xor_fast.net.openssl import TlsError as TlsError  # here once, so that no module below meets a bare ImportError
except ModuleNotFoundError as _error:
    raise NotBuilt(
        "xor_fast was built without TLS, so it has no network driver: install the headers of OpenSSL 3 "
        "(Debian: apt-get install libssl-dev), then build again from the source: "
        "pip install --force-reinstall --no-deps --no-cache-dir SOURCE, or make clean build in a checkout"
    ) from _error
except ImportError as _error:
    raise NotBuilt(f"the library of OpenSSL 3 cannot be loaded ({_error}): install it (Debian: libssl3)") from _error
