"""How Sphinx builds these pages: `sphinx-build -n -W --keep-going docs build/docs`."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent / "_ext")]

from bulkverify import __version__  # noqa: E402 - the copy beside these pages

project = "bulkverify"
version = release = __version__
project_copyright = "the authors of bulkverify"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "docstrings"]
exclude_patterns = ["_ext"]
myst_enable_extensions = ["attrs_block", "colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
napoleon_numpy_docstring = False
maximum_signature_line_length = 80
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"bulkverify {release}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_show_sourcelink = False
html_copy_source = False
# The pages load nothing from elsewhere: no fonts, no scripts, no counters.
html_theme_options = {"navigation_with_keys": False}
