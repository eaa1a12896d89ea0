//! One JSON object against one declared record: every wrong field at once, never the value of one.
