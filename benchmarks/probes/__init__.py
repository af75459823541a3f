"""What features are worth: linear probes on real data, with intervals that know their clusters."""
