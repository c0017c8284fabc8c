"""What an operator's monitoring counts. Labels are our own words only, never a stranger's text."""

from math import nan

from prometheus_client import Counter, Gauge

CONCLUSIONS = Counter("homing_conclusions", "Conclusions about deliveries, by the state that followed.", ["state"])
RETURNS = Counter(
    "homing_returns",
    "Mails that came back, by what they were, and whether a delivery was found for them.",
    ["what", "matched"],
)
ACTIONS = Counter("homing_actions", "Actions that ended, by kind and end.", ["kind", "state"])
BUDGET_REFUSALS = Counter(
    "homing_budget_refusals", "E-mails and text messages that were not sent, since a budget was used up.", ["budget"]
)
SHARE_REFUSALS = Counter(
    "homing_share_refusals", "Requests refused since their organization had its share at the HTTP door.", ["code"]
)
ALARMS = Counter("homing_alarms", "Refusals because of us, and messages that killed their worker.")
ALARMS_STANDING = Gauge("homing_alarms_standing", "Causes of alarms that nobody has cleared, up to 10,000.")
QUEUE = Gauge("homing_queue", "Deliveries that have not ended, by state.", ["state"])
CASES = Gauge(
    "homing_cases", "Cases that are not settled, by state, up to 10,000; `unheard`: nobody could be told.", ["state"]
)
OLDEST_DUE = Gauge("homing_oldest_due_seconds", "How long the queue that has waited longest has waited for its turn.")
SLOWED = Gauge("homing_slowed_receivers", "Receivers that found us too fast, and are tried gently.")
KEY_MOVES = Counter("homing_dkim_key_moves", "DKIM keys that moved on, by the state that followed.", ["state"])
KEYS_UNSEEN = Gauge("homing_dkim_keys_unseen", "DKIM keys in use whose record does not stand in the DNS everywhere.")
DISK_FREE = Gauge("homing_disk_free_bytes", "Room in the data folder.")
DISK_LOW = Gauge("homing_disk_low", "1 while nothing new is taken or begun for want of room on the disk.")
STORE_HELD = Gauge("homing_store_held", "1 while what is queued is held, since a backup was restored.")
CLOCK_JUMPS = Counter("homing_clock_jumps", "Times that the clock jumped while the monotonic clock did not.")
RETURN_PATH_OK = Gauge(
    "homing_return_path_ok",
    "1: the last notice of the loop watch was received and concluded, 0: the return path is broken; NaN: not known.",
)
RETURN_PATH_OK_AT = Gauge(
    "homing_return_path_ok_timestamp_seconds", "When a round of the loop watch ended well last, Unix time; 0: never."
)
RETURN_PATH_OK.set(nan)
