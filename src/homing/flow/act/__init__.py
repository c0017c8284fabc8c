"""Carrying out what was decided about a failure: one file for each channel, and the worker that runs them."""

from homing.flow.act.worker import Actor as Actor
