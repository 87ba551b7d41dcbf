"""The modules here turn the attention of a translation into word alignments, score them, and show them.

To read them, begin with ``links.py``, which goes from attention to words and the links between them. ``scores.py``
compares links with a gold standard and joins those of two directions. ``heat_maps.py`` draws an alignment by matplotlib,
``html_page.py`` as a page for a browser, and ``output_files.py`` writes everything that ``cli.align`` leaves behind.
"""
