"""Benchmarks, one a package or file: data, encoder, pairs, evaluation."""
