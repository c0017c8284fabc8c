"""Real mail servers × what can become of a message: what each said, what a whole gateway concluded, and what it should.

`python -m tests.interop.conformance` fetches the servers, runs them and the gateway in a network of their own, and
with `--write` writes docs/conformance.md and docs/conformance.json. `scenarios.py` says what a careful postmaster would
conclude.
"""
