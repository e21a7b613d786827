"""Inf-Net, Semi-Inf-Net and multi-class labelling (Fan et al., IEEE TMI 2020)."""
