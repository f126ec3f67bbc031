"""A case as evidence for a court: events, proofs, papers and a cover, in one file that anybody can check."""
