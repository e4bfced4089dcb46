"""Tidewater Press: a small shop on Pelican.

Build it with

pelican sample_site/pelican/content --settings sample_site/pelican/pelicanconf.py

The build prints one finding on purpose: a warning about the link in test mode
(content/pages/harbour.md). The environment variable SITEURL is the URL where the site will be
served, with its path.
"""

import os

AUTHOR = "Tidewater Press"
SITENAME = "Tidewater Press"
SITESUBTITLE = "Linocuts and cards, printed by hand at the estuary"
SITEURL = os.environ.get("SITEURL", "")
RELATIVE_URLS = False  # the page for what is not there is shown at any depth

PATH = "content"
TIMEZONE = "Europe/Lisbon"
DEFAULT_LANG = "en"
DEFAULT_DATE_FORMAT = "%-d %B %Y"
THEME = "theme"

ARTICLE_URL = "{category}/{slug}/"
ARTICLE_SAVE_AS = "{category}/{slug}/index.html"
PAGE_URL = "{slug}/"
PAGE_SAVE_AS = "{slug}/index.html"
CATEGORY_URL = "{slug}/"
CATEGORY_SAVE_AS = "{slug}/index.html"
TAG_URL = "tag/{slug}/"
TAG_SAVE_AS = "tag/{slug}/index.html"
ARCHIVES_SAVE_AS = "all/index.html"
AUTHOR_SAVE_AS = ""
AUTHORS_SAVE_AS = ""
CATEGORIES_SAVE_AS = ""
TAGS_SAVE_AS = ""
DEFAULT_PAGINATION = 4
PAGINATION_PATTERNS = (
    (1, "{base_name}/", "{base_name}/index.html"),
    (2, "{base_name}/{number}/", "{base_name}/{number}/index.html"),
)
INDEX_SAVE_AS = "index.html"
DIRECT_TEMPLATES = ["index", "archives", "404"]
FEED_ALL_ATOM = None
AUTHOR_FEED_ATOM = None
AUTHOR_FEED_RSS = None
CATEGORY_FEED_ATOM = None
TRANSLATION_FEED_ATOM = None
DISPLAY_PAGES_ON_MENU = False
USE_FOLDER_AS_CATEGORY = True

STATIC_PATHS = ["images", "extra"]
EXTRA_PATH_METADATA = {"extra/workshop.html": {"path": "workshop.html"}}
# Keeps a page written by hand from being read as an article.
ARTICLE_EXCLUDES = ["extra", "pages"]

PLUGINS = ["tracknow"]
TRACKNOW = {
    "window_days": 90,
    "clean_url": True,
}
