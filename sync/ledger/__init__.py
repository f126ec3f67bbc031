"""The ledger of a node: one fenced writer, readers in order, and the recorders that plug it into `eventsourcing`."""
