"""What people wrote, sealed: commitments, ciphertexts and who holds the keys."""
