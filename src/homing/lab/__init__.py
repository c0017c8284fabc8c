"""The Internet in a box: DNS, MX hosts with behaviours, an SMS provider. Loopback only."""
