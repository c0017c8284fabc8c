"""E-mail as the RFCs define it. Pure: no I/O, no clock; does not know that Homing exists."""
