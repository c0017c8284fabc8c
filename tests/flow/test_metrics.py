"""The metrics that the runbook explains are those that there are."""

import re
from pathlib import Path

from prometheus_client import REGISTRY, Counter, Gauge
from prometheus_client.metrics import MetricWrapperBase

from homing.flow import metrics

RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"
KNOWN = {name: one for name, one in vars(metrics).items() if isinstance(one, MetricWrapperBase)}


def as_scraped(metric: MetricWrapperBase) -> str:
    """The name on the page that Prometheus reads: a counter's ends in `_total` there."""
    [family] = metric.describe()
    return f"{family.name}_total" if isinstance(metric, Counter) else family.name


def test_each_metric_is_in_the_runbook_and_the_runbook_names_no_other() -> None:
    named = set(re.findall(r"`(homing_[a-z_]+)(?:\{[^`]*\})?`", RUNBOOK.read_text()))
    assert named == {as_scraped(one) for one in KNOWN.values()}


def test_the_states_that_the_runbook_picks_out_are_counted_under_that_label() -> None:
    picked = re.findall(r"`(homing_[a-z_]+)\{([a-z]+)=", RUNBOOK.read_text())
    assert picked
    labels = {as_scraped(one): one._labelnames for one in KNOWN.values()}
    assert [label in labels[name] for name, label in picked] == [True] * len(picked)


def test_each_is_registered_once_where_the_page_is_made_from() -> None:
    registered = [family.name for family in REGISTRY.collect() if family.name.startswith("homing_")]
    assert sorted(registered) == sorted(next(iter(one.describe())).name for one in KNOWN.values())
    assert len(set(registered)) == len(registered)


def test_what_only_rises_is_a_counter_and_what_falls_again_a_gauge() -> None:
    """Prometheus takes a counter that falls for a restart."""
    kinds = {name: type(one) for name, one in KNOWN.items()}
    assert set(kinds.values()) == {Counter, Gauge}
    falls = {"ALARMS_STANDING", "DISK_FREE", "DISK_LOW", "QUEUE", "CASES", "OLDEST_DUE", "SLOWED", "KEYS_UNSEEN"}
    falls |= {"RETURN_PATH_OK", "RETURN_PATH_OK_AT", "STORE_HELD"}
    assert {name for name, kind in kinds.items() if kind is Gauge} == falls
