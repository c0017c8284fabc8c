"""The domain and name under which a message goes out: proofs in the DNS, DKIM keys, guarded names."""
