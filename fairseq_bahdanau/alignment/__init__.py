"""The modules here turn the attention of a translation into word alignments, score them, and show them.

To read them, begin with ``links.py``, which goes from attention to words and the links between them. ``scores.py``
compares links with a gold standard and joins those of two directions. ``heat_maps.py`` draws an alignment,
``html_page.py`` makes a page of many for a browser, ``output_files.py`` writes what ``cli.align`` leaves behind.
"""
