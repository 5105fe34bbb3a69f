"""Quantities: what metrics, curves and galleries are made of. `pofxy.evaluation.quantity` says how one is written."""
