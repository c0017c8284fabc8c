"""Wires the rooms together: the only place that reads settings, the clock and the source of random octets."""

from homing.app.clock import Clock as Clock
from homing.app.gateway import App as App
from homing.app.gateway import build as build
from homing.app.gateway import freeze_startup_objects as freeze_startup_objects
from homing.app.gateway import serve as serve
from homing.app.key_files import SELECTOR as SELECTOR
from homing.app.key_files import Keys as Keys
from homing.app.listening import CannotListen as CannotListen
from homing.app.shared import WEBHOOK_PORTS as WEBHOOK_PORTS
