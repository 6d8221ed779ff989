"""Sentence representation on a pretrained encoder: SimCSE, and debiasing with MABEL."""
