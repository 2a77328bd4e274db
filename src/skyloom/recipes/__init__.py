"""One file a published result: functions that return a full typed config."""
