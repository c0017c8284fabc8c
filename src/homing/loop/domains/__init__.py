"""Under which domain and name a message goes out: what is proved in the DNS, the keys that sign, who may be named."""
