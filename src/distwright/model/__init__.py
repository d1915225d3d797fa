"""The words of the house as frozen values: names, digests, versions, states, events, findings."""
