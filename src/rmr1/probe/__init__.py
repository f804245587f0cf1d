"""Probes of preference data: a *leak* (the label can be guessed from anything but what the answers say) and *bias*
(how far length, Markdown, position and the like alone predict it).

    rows ──> fields ──> features ──> crossval, exact ──> leak
    rows ──> bias

A leak is a fault of the data; bias is in all data that people judged, and is reported.
"""

from rmr1.probe.bias import BiasReport, probe_bias
from rmr1.probe.leak import LeakReport, probe_leak

__all__ = ["BiasReport", "LeakReport", "probe_bias", "probe_leak"]
