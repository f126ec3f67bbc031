"""Who speaks for which division, by which keys: certificates from the pinned root down, enrolment, the escrow."""
