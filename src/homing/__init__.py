"""Homing: e-mail that reports back."""
