"""Every table, once, for both databases.

Portable by rule: ids are UUIDs made by the application; moments are BIGINT microseconds UTC; JSON documents are
`JSON` (JSONB on PostgreSQL); states are short text with a CHECK. `organization` stands in every organization's row and
index, and no foreign key crosses organizations, so that the same schema can be sharded by organization.
"""

from homing.store.tables.cases import action as action
from homing.store.tables.cases import case as case
from homing.store.tables.cases import gathered_case as gathered_case
from homing.store.tables.cases import told_delay as told_delay
from homing.store.tables.columns import Moment as Moment
from homing.store.tables.columns import metadata as metadata
from homing.store.tables.messages import attempt as attempt
from homing.store.tables.messages import delivery as delivery
from homing.store.tables.messages import event as event
from homing.store.tables.messages import inbound as inbound
from homing.store.tables.messages import inbound_usage as inbound_usage
from homing.store.tables.messages import message as message
from homing.store.tables.messages import message_content as message_content
from homing.store.tables.messages import oops_answer as oops_answer
from homing.store.tables.messages import waiting_queue as waiting_queue
from homing.store.tables.messages import waiting_stream as waiting_stream
from homing.store.tables.operation import alarm as alarm
from homing.store.tables.operation import loop_probe as loop_probe
from homing.store.tables.operation import store_mark as store_mark
from homing.store.tables.operation import wall_clock as wall_clock
from homing.store.tables.organizations import allowed_name as allowed_name
from homing.store.tables.organizations import api_key as api_key
from homing.store.tables.organizations import dkim_key as dkim_key
from homing.store.tables.organizations import failure_policy as failure_policy
from homing.store.tables.organizations import guarded_name as guarded_name
from homing.store.tables.organizations import human_sender as human_sender
from homing.store.tables.organizations import idempotency as idempotency
from homing.store.tables.organizations import organization as organization
from homing.store.tables.organizations import proof as proof
from homing.store.tables.organizations import sending_domain as sending_domain
from homing.store.tables.organizations import session as session
from homing.store.tables.organizations import stream as stream
from homing.store.tables.organizations import usage as usage
from homing.store.tables.recipients import full_mailbox as full_mailbox
from homing.store.tables.recipients import hearsay as hearsay
from homing.store.tables.recipients import lifted_suppression as lifted_suppression
from homing.store.tables.recipients import mail_domain as mail_domain
from homing.store.tables.recipients import suppression as suppression
