"""How results show themselves: tables, plots, plain values."""
