"""TLS on a socket, by OpenSSL itself: what `ssl` costs in calls and copies, a busy link has no time for.

Only `net/tls.py` uses it. Every call clears OpenSSL's error queue first, for Python's `ssl` shares it. All sizes are
checked before they become an `int` of OpenSSL.
"""

from cpython.buffer cimport PyBUF_CONTIG_RO, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.limits cimport INT_MAX
from libc.stdint cimport intptr_t
from libc.string cimport strlen

from xor_fast.errors import ConfigError


cdef extern from "openssl/ssl.h" nogil:
    ctypedef struct SSL_CTX
    ctypedef struct SSL
    ctypedef struct SSL_METHOD
    ctypedef struct X509
    ctypedef struct X509_STORE
    ctypedef struct EVP_PKEY
    ctypedef struct BIO
    ctypedef struct SSL_CIPHER
    ctypedef struct OPENSSL_STACK "STACK_OF(X509)"
    const SSL_METHOD* TLS_method()
    SSL_CTX* SSL_CTX_new(const SSL_METHOD*)
    void SSL_CTX_free(SSL_CTX*)
    int SSL_CTX_set_min_proto_version(SSL_CTX*, int)
    unsigned long SSL_CTX_set_options(SSL_CTX*, unsigned long)
    long SSL_CTX_set_mode(SSL_CTX*, long)
    long SSL_CTX_set_session_cache_mode(SSL_CTX*, long)
    int SSL_CTX_set_num_tickets(SSL_CTX*, size_t)
    void SSL_CTX_set_read_ahead(SSL_CTX*, int)
    void SSL_CTX_set_verify(SSL_CTX*, int, void*)
    void SSL_CTX_set_keylog_callback(SSL_CTX*, void (*)(const SSL*, const char*) noexcept nogil)
    int SSL_CTX_set_app_data(SSL_CTX*, void*)
    void* SSL_CTX_get_app_data(SSL_CTX*)
    SSL_CTX* SSL_get_SSL_CTX(const SSL*)
    int SSL_CTX_use_certificate_ASN1(SSL_CTX*, int, const unsigned char*)
    long SSL_CTX_add1_chain_cert(SSL_CTX*, X509*)
    int SSL_CTX_use_PrivateKey(SSL_CTX*, EVP_PKEY*)
    X509_STORE* SSL_CTX_get_cert_store(const SSL_CTX*)
    SSL* SSL_new(SSL_CTX*)
    void SSL_free(SSL*)
    int SSL_set_fd(SSL*, int)
    void SSL_set_accept_state(SSL*)
    void SSL_set_connect_state(SSL*)
    int SSL_do_handshake(SSL*)
    int SSL_read(SSL*, void*, int)
    int SSL_write(SSL*, const void*, int)
    int SSL_shutdown(SSL*)
    int SSL_has_pending(const SSL*)
    int SSL_get_error(const SSL*, int)
    const SSL_CIPHER* SSL_get_current_cipher(const SSL*)
    long SSL_get_verify_result(const SSL*)
    X509* SSL_get0_peer_certificate(const SSL*)
    OPENSSL_STACK* SSL_get_peer_cert_chain(const SSL*)
    int TLS1_2_VERSION
    unsigned long SSL_OP_NO_RENEGOTIATION, SSL_OP_NO_TICKET, SSL_OP_NO_COMPRESSION, SSL_OP_IGNORE_UNEXPECTED_EOF
    long SSL_MODE_ENABLE_PARTIAL_WRITE, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER, SSL_MODE_RELEASE_BUFFERS
    long SSL_MODE_NO_AUTO_CHAIN, SSL_SESS_CACHE_OFF
    int SSL_VERIFY_PEER, SSL_VERIFY_FAIL_IF_NO_PEER_CERT
    int SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE, SSL_ERROR_ZERO_RETURN, SSL_ERROR_SYSCALL

cdef extern from "openssl/x509.h" nogil:
    X509* d2i_X509(X509**, const unsigned char**, long)
    int i2d_X509(const X509*, unsigned char**)
    void X509_free(X509*)
    int X509_STORE_add_cert(X509_STORE*, X509*)
    int sk_X509_num(const OPENSSL_STACK*)
    X509* sk_X509_value(const OPENSSL_STACK*, int)
    const char* X509_verify_cert_error_string(long)
    long X509_V_OK

cdef extern from "openssl/pem.h" nogil:
    BIO* BIO_new_mem_buf(const void*, int)
    int BIO_free(BIO*)
    EVP_PKEY* PEM_read_bio_PrivateKey(BIO*, EVP_PKEY**, void*, void*)
    void EVP_PKEY_free(EVP_PKEY*)

cdef extern from "openssl/err.h" nogil:
    unsigned long ERR_peek_error()
    unsigned long ERR_peek_last_error()
    const char* ERR_reason_error_string(unsigned long)
    void ERR_clear_error()


cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void* iov_base
        size_t iov_len
    ssize_t writev(int, const iovec*, int)


class TlsError(ConnectionError):
    """A handshake or a connection that failed; the text is one line for the log."""


cdef int no_password(char* buffer, int size, int writing, void* user) noexcept:
    return 0


cdef void log_key(const SSL* ssl, const char* line) noexcept nogil:
    """A line of the key log, in one call, so that several processes may write one file. One that is lost costs a reader
    of packets a connection, and us nothing."""
    cdef iovec parts[2]
    parts[0].iov_base, parts[0].iov_len = <void*>line, strlen(line)
    parts[1].iov_base, parts[1].iov_len = <void*><const char*>b"\n", 1
    writev(<int><intptr_t>SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)), parts, 2)


cdef inline void forget_errors() noexcept nogil:
    """Clearing walks all 16 places of OpenSSL's queue, which is nearly always empty: a few per cent of a message."""
    if ERR_peek_error() != 0:
        ERR_clear_error()


cdef str reason(str fallback):
    cdef unsigned long code = ERR_peek_last_error()
    cdef const char* text = ERR_reason_error_string(code) if code else NULL
    if text == NULL:
        return fallback
    said = text.decode("ascii", "replace")
    _, is_alert, alert = said.partition(" alert ")  # "tlsv1 alert unknown ca": what the other side told us
    return f"refused by the other side: {alert}" if is_alert else said


cdef class Context:
    """What all connections of one node share (RFC 6940 6.5.1.13): its certificates, its key, and whom it trusts.

    certificates  DER, the own one first, then intermediates
    key           PEM, not encrypted
    roots         DER
    key_log       descriptor of a file for the keys of each connection, as tshark reads them; -1 for none. It must
                  outlive all connections
    """

    cdef SSL_CTX* ctx

    def __cinit__(self, certificates, bytes key not None, roots, int key_log=-1):
        self.ctx = SSL_CTX_new(TLS_method())
        if self.ctx == NULL:
            raise MemoryError
        SSL_CTX_set_min_proto_version(self.ctx, TLS1_2_VERSION)
        # The identity of a link is fixed by its one handshake: none later, and no session that skips the certificates.
        # Tickets nobody uses would cost 300 us a handshake.
        SSL_CTX_set_options(
            self.ctx,
            SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION
            | SSL_OP_IGNORE_UNEXPECTED_EOF,  # a killed peer says no goodbye; frames and streams know their own ends
        )
        SSL_CTX_set_num_tickets(self.ctx, 0)
        SSL_CTX_set_session_cache_mode(self.ctx, SSL_SESS_CACHE_OFF)
        SSL_CTX_set_mode(
            self.ctx,
            SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER  # the backlog grows and moves
            | SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN,
        )
        SSL_CTX_set_read_ahead(self.ctx, 1)  # one system call for all the records that have come
        SSL_CTX_set_verify(self.ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL)
        if key_log >= 0:
            SSL_CTX_set_app_data(self.ctx, <void*><intptr_t>key_log)
            SSL_CTX_set_keylog_callback(self.ctx, log_key)
        ERR_clear_error()
        self._identify(list(certificates), key)
        for der in roots:
            self._trust(der)

    def __dealloc__(self):
        SSL_CTX_free(self.ctx)

    cdef _identify(self, list certificates, bytes key):
        cdef X509* x509
        cdef EVP_PKEY* private
        cdef bint fits
        cdef bytes own = certificates[0] if certificates else b""
        if len(own) > INT_MAX or SSL_CTX_use_certificate_ASN1(self.ctx, <int>len(own), own) != 1:
            raise ConfigError(f"the certificate of the node cannot be used ({reason('unreadable')}): enrol again")
        for der in certificates[1:]:
            x509 = parse(der)
            SSL_CTX_add1_chain_cert(self.ctx, x509)
            X509_free(x509)
        cdef BIO* bio = BIO_new_mem_buf(<const char*>key, <int>min(len(key), INT_MAX))
        if bio == NULL:
            raise MemoryError
        private = PEM_read_bio_PrivateKey(bio, NULL, <void*>no_password, NULL)
        BIO_free(bio)
        if private == NULL:
            raise ConfigError(
                "the private key of the node cannot be read: it must be PEM and not encrypted, readable by its owner only"
            )
        fits = SSL_CTX_use_PrivateKey(self.ctx, private) == 1
        EVP_PKEY_free(private)
        if not fits:
            raise ConfigError("certificate and private key of the node do not fit together: enrol again")

    cdef _trust(self, bytes der):
        cdef X509* x509 = parse(der)
        X509_STORE_add_cert(SSL_CTX_get_cert_store(self.ctx), x509)
        X509_free(x509)


cdef X509* parse(bytes der) except NULL:
    cdef const unsigned char* at = der
    cdef X509* x509 = d2i_X509(NULL, &at, len(der))
    if x509 == NULL:
        raise ConfigError("a root-cert of the configuration document, or an intermediate, is not a certificate")
    return x509


cdef class Session:
    """One connection, on a socket that does not block. The socket belongs to the caller and must outlive it.

    wants_write  the last handshake call stopped because the socket takes no more; else it waits for bytes to come
    is_greeted   the hello of the other side has come as a whole: the cipher is chosen
    reads_on     the last read did not stop for lack of bytes: read again, the socket may say nothing
    """

    cdef SSL* ssl
    cdef readonly bint wants_write
    cdef readonly bint reads_on
    cdef object failure

    def __cinit__(self, Context context not None, int descriptor, bint server):
        self.ssl = SSL_new(context.ctx)
        if self.ssl == NULL or SSL_set_fd(self.ssl, descriptor) != 1:
            raise MemoryError
        if server:
            SSL_set_accept_state(self.ssl)
        else:
            SSL_set_connect_state(self.ssl)

    def __dealloc__(self):
        SSL_free(self.ssl)

    def handshake(self):
        """True once it is done. TlsError when it fails."""
        cdef int result
        ERR_clear_error()
        with nogil:
            result = SSL_do_handshake(self.ssl)
        if result == 1:
            return True
        if not self._check(result):
            raise TlsError("TLS: connection closed within the handshake")
        return False

    @property
    def is_greeted(self):
        return SSL_get_current_cipher(self.ssl) != NULL

    def read(self, buffer not None):
        """Fill the buffer with what has come: the number of bytes, 0 at the end of the connection, -1 for nothing yet."""
        cdef Py_buffer view
        cdef Py_ssize_t total = 0
        cdef int n
        self.reads_on = False
        if self.failure is not None:
            raise self.failure
        PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE)
        try:
            forget_errors()
            while total < view.len:
                n = SSL_read(self.ssl, <char*>view.buf + total, <int>min(view.len - total, INT_MAX))
                if n <= 0:
                    if total == 0:
                        return -1 if self._check(n) else 0
                    self.reads_on = not self._goes_on(n)
                    return total
                total += n
                if not SSL_has_pending(self.ssl):
                    return total  # the socket is empty, or was a moment ago: the loop will tell
            self.reads_on = True
            return total
        finally:
            PyBuffer_Release(&view)

    def write(self, data not None):
        """Write what the socket takes now: the number of bytes. The rest is to be given again, with more behind it."""
        cdef Py_buffer view
        cdef Py_ssize_t total = 0
        cdef int n
        PyObject_GetBuffer(data, &view, PyBUF_CONTIG_RO)
        try:
            forget_errors()
            while total < view.len:
                n = SSL_write(self.ssl, <const char*>view.buf + total, <int>min(view.len - total, INT_MAX))
                if n <= 0:
                    self._check(n)
                    break
                total += n
            return total
        finally:
            PyBuffer_Release(&view)

    def shutdown(self):
        """Say that we send nothing more (close_notify), if the connection still can."""
        ERR_clear_error()
        SSL_shutdown(self.ssl)
        ERR_clear_error()

    def certificates(self):
        """What the other side sent, DER, its own certificate first."""
        cdef OPENSSL_STACK* chain = SSL_get_peer_cert_chain(self.ssl)
        cdef int i, count = sk_X509_num(chain) if chain != NULL else 0
        cdef list found = [encode(sk_X509_value(chain, i)) for i in range(count)]
        cdef X509* own = SSL_get0_peer_certificate(self.ssl)
        if own != NULL:
            first = encode(own)
            if not found or found[0] != first:  # on the server's side OpenSSL keeps it apart
                found.insert(0, first)
        return found

    cdef bint _goes_on(self, int result):
        """As _check, but what came before a failure is to be given first: it is kept for the next read."""
        try:
            return self._check(result)
        except TlsError as error:
            self.failure = error
            return False

    cdef bint _check(self, int result) except -1:
        """True: to be tried again. False: the end. TlsError otherwise."""
        cdef int error = SSL_get_error(self.ssl, result)
        self.wants_write = error == SSL_ERROR_WANT_WRITE
        if error == SSL_ERROR_WANT_READ or error == SSL_ERROR_WANT_WRITE:
            return True
        if error == SSL_ERROR_ZERO_RETURN:
            return False
        cdef long verified = SSL_get_verify_result(self.ssl)
        cdef str text
        if verified != X509_V_OK:
            text = f"certificate refused: {X509_verify_cert_error_string(verified).decode('ascii', 'replace')}"
        else:
            text = "TLS: " + reason("connection closed")
        ERR_clear_error()
        raise TlsError(text)


cdef bytes encode(X509* x509):
    cdef int size = i2d_X509(x509, NULL)
    if size <= 0:
        raise MemoryError
    cdef bytes der = PyBytes_FromStringAndSize(NULL, size)
    cdef unsigned char* at = der
    i2d_X509(x509, &at)
    return der
