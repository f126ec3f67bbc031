"""What can be proven of a log: trees, checkpoints, cosignatures, policies, and the receipt that a citizen keeps."""
