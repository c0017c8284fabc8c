"""Wires the rooms together: the only place that reads settings, the clock and the dice."""

from homing.app.clock import Clock as Clock
from homing.app.key_files import SELECTOR as SELECTOR
from homing.app.key_files import Keys as Keys
from homing.app.wiring import App as App
from homing.app.wiring import CannotListen as CannotListen
from homing.app.wiring import build as build
from homing.app.wiring import serve as serve
