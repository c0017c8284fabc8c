"""The doctor of DNS: what is wrong with the records that mail depends on, and the record that mends it.

One file for each family of checks, in the order of docs/doctor.md. A check is a dialogue with the DNS (see
`homing.mail.dns_question`) about one name; a fact that could not be found out is `unknown`, never `broken`.
"""
