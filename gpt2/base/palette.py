"""The colours of all pictures, safe for colour-blind readers. (The page, which has a dark theme, keeps its own in
server/web/style.css.)

In: nothing. Out: names of matplotlib's scales, and colours as #rrggbb. Read next: explain/show/draw.py.
"""

SEQUENTIAL, DIVERGING = "cividis", "PuOr_r"  # amounts (Nunez et al. 2018), differences around zero (Brewer's scales)
POSITIVE, NEGATIVE, NEUTRAL = "#c05a00", "#5e3c99", "#6b6b6b"  # the two ends of the diverging scale, and between
KINDS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")  # Okabe and Ito 2008
BAND = "#e3eef6"  # behind a mark: a range
