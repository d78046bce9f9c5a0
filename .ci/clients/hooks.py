"""Values that a JSON Schema cannot describe: URLs of endpoints, PEM, cursors."""

import schemathesis
from hypothesis import strategies as st

PEM = "-----BEGIN {0}-----\nMAA=\n-----END {0}-----\n"

# Nothing listens there, so that test events fail at once.
schemathesis.openapi.format("uri", st.integers(0, 99).map(lambda n: f"http://127.0.0.1:9/hook/{n}"))
schemathesis.openapi.format("pem-certificates", st.just(PEM.format("CERTIFICATE")))
schemathesis.openapi.format("pem-key", st.just(PEM.format("PRIVATE KEY")))
schemathesis.openapi.format("cursor", st.integers(0, 2**64).map(lambda n: f"{n:x}-0"))
