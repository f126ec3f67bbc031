"""What people see: one module per reader, one template per page, the same questions as the API underneath."""
