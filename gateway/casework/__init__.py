"""What a node does with cases: carrying out commands, sealing, reading, receipts, and what it does by itself."""
