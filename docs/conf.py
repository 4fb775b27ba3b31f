"""How the site is built: `scripts/docs`, or `sphinx-build -W docs FOLDER`."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import pages
from numpydoc.xref import DEFAULT_LINKS
from sphinx_gallery.sorting import FunctionSortKey

import rsa_faces as rf

os.environ.setdefault("MPLBACKEND", "Agg")
pages.write(HERE)
pages.report_figures(HERE / "made" / "report")

project = "rsa-faces"
author = "The rsa-faces developers"
copyright = author
version = release = rf.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "mathml",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "gallery", "tutorials", "reproductions", "made/gallery_scripts"]
templates_path = ["_templates"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"  # types are in the text, with shapes and units
autodoc_preserve_defaults = True  # as they are written, not what they become
numpydoc_show_class_members = False
numpydoc_xref_param_type = True  # classes among types become links,
# words such as "sequence" do not: their pages are on the sites of others.
numpydoc_xref_aliases = {word: word for word in DEFAULT_LINKS}
default_role = "literal"

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "rsa-faces"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 8,
    "footer_end": [],
}
suppress_warnings = [
    "config.cache",  # functions among the settings of the gallery
    "myst.xref_missing",  # pages link to files of the repository, too
]


def sharp(settings, script) -> None:
    """Draw figures of scripts with so many dots that their smallest letters can be read."""
    import matplotlib as mpl

    mpl.rcParams["savefig.dpi"] = 160


sphinx_gallery_conf = {
    "examples_dirs": [str(HERE / folder) for folder in pages.EXECUTED.values()],
    "gallery_dirs": [str(HERE / "made" / name) for name in pages.EXECUTED],
    "filename_pattern": r"\.py$",
    "within_subsection_order": FunctionSortKey(pages.place),
    "download_all_examples": False,
    "show_signature": False,
    "remove_config_comments": True,
    # What the last line of a block returns and nobody wants to read.
    "ignore_repr_types": r"matplotlib|'int'|'tuple'",
    "abort_on_example_error": True,
    "reset_modules": ("matplotlib", sharp),
    "min_reported_time": 10,
    # Pages of how long scripts took load a script of others from the network.
    "write_computation_times": False,
}


def setup(app) -> None:
    """Link names as docstrings have them."""
    app.connect("missing-reference", pages.find_reference)
