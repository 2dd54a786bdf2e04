"""What the guide of the components draws and works out: its numbers, its figures, the bars of "what it costs".

measure.py takes the numbers that measured.json does not have (docs/guide/teaching.json), svg.py holds one style for
all pictures, the figures stand by part of the model in embeddings.py, attention.py, blocks.py and head.py, costs.py
draws what a model loses without a part, and gallery.py names them all.
"""
