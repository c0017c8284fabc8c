"""The HTTP API: JSON in, JSON out, and one form for every refusal."""

from homing.doors.api.application import api_router as api_router
from homing.doors.api.application import create_api as create_api
from homing.doors.api.parts import ApiParts as ApiParts
