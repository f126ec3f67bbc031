"""History handed to an auditor, and checked by whoever trusts nobody (ADR of the audit bundle)."""
