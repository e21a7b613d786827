"""The explorer's page: slices, networks and their maps in one HTML file, with a network that runs in the browser.

`networks` finds what the papers show, `looks` runs it over slices, `pack` makes bytes of arrays, `build` puts the page
together from them and from the files in ``page/`` (what the reader sees) and ``live/`` (the network in the browser).

>>> from covidseg.explore import write_page
"""

from covidseg.explore.build import write_page

__all__ = ["write_page"]
