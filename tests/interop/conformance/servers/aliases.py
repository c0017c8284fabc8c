"""What every server forwards, in the form of aliases(5)."""

ALIASES = """\
team: john, gone@away.com
forward: gone@away.com
forwardfull: full@away.com
forwardnowhere: joe@nowhere.com
chain: chain2
chain2: chain3
chain3: gone@away.com
"""
