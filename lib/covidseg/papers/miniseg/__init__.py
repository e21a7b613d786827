"""MiniSeg: an extremely minimum network for efficient COVID-19 segmentation (Qiu et al., AAAI 2021)."""
