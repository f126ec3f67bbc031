"""What people wrote, sealed: commitments, ciphertexts, who holds the keys, and the escrow above."""
