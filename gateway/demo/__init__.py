"""A living city on one machine: real nodes, a scripted day or real messages, under one simulated clock."""
