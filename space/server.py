"""Page: its tabs, API endpoints, link preview, and launch options."""

import os
import re
from html import escape
from typing import Any

import gradio as gr
from api import Api
from callbacks import Page
from gradio.routes import templates
from jinja2 import ChoiceLoader, FunctionLoader
from refusals import HANDLERS, explain_errors
from registry import Registry
from tabs import about, batch, classify, compare
from theme import STYLE, build_theme
from uploads import MAX_FILE_BYTES
from views import text

from hf_lesion.errors import InputError

# The page replaces some of gradio's functions; tests/space checks that this version calls them.
TESTED = "6.31."
# Every 10 minutes, files older than an hour are deleted.
DELETE_CACHE = (600, 3600)
# Maximum number of waiting requests; further ones are rejected because the queue is full.
QUEUE_SIZE = 64
CONCURRENCY = 2
# Number of visitors whose session state (the choices of their model selector) gradio keeps.
SESSIONS = 200
DATASET = "https://doi.org/10.7910/DVN/DBW86T"
EXAMPLE_FILE = {
    "path": "lesion.jpg",
    "orig_name": "lesion.jpg",
    "meta": {"_type": "gradio.FileData"},
}
PREVIEW = "".join(
    f'<meta {kind}="{name}" content="{escape(content)}" />'
    for kind, name, content in (
        ("name", "description", text.LEDE),
        ("property", "og:type", "website"),
        ("property", "og:title", text.TITLE),
        ("property", "og:description", text.LEDE),
        ("name", "twitter:card", "summary"),
        ("name", "twitter:title", text.TITLE),
        ("name", "twitter:description", text.LEDE),
    )
)
GRADIO_PREVIEW = re.compile(r'<meta\s+(?:property="og:|name="twitter:)[^>]*/>')
OPEN_ABOUT = '<button type="button" data-tab="about">'
OPEN_TAB = """
element.addEventListener('click', (event) => {
  const link = event.target.closest('button[data-tab]');
  if (link) trigger('click', {tab: link.dataset.tab});
});
"""


def build_page(
    registry: Registry, *, max_concurrency: int = CONCURRENCY, queue_size: int = QUEUE_SIZE
) -> gr.Blocks:
    """Build the page of at least one model, loaded or not.

    `max_concurrency` requests are computed at once, and `queue_size` wait; both are the most.

    Raises:
        InputError: If gradio is not of the tested version.
    """
    if not gr.__version__.startswith(TESTED):
        raise InputError(
            f"The page can't be served safely with gradio {gr.__version__}. Install a supported "
            "version: pip install 'gradio>=6.31,<6.32'."
        )
    set_preview()
    page = Page(registry)
    drawn_only = all(entry.drawn_only for entry in registry.entries.values())
    blocks = gr.Blocks(
        title=text.TITLE, analytics_enabled=False, delete_cache=DELETE_CACHE, fill_width=False
    )
    with blocks:
        gr.HTML(text.header(drawn_only))
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab("Classify", id="classify"):
                inputs = classify.build(page, blocks)
            with gr.Tab("Compare", id="compare") as compare_tab:
                compare_target = compare.build(page, inputs.image, compare_tab)
            with gr.Tab("Batch", id="batch"):
                batch.build(page, blocks)
            with gr.Tab("About", id="about") as about_tab:
                about.build(registry, about_tab, blocks)
        links = gr.HTML(footer(), js_on_load=OPEN_TAB, elem_id="links")
        quiet = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}
        links.click(lambda: gr.Tabs(selected="about"), None, tabs, **quiet)
        _build_api(Api(registry), inputs, compare_target)
    explain_errors(blocks)
    blocks.queue(max_size=queue_size, default_concurrency_limit=max_concurrency)
    return blocks


def launch_options() -> dict[str, Any]:
    """Return the options of `launch`: theme, limits, and neither history nor monitoring."""
    return {
        "theme": build_theme(),
        "css_paths": STYLE,
        "footer_links": [],
        "run_history": False,
        "enable_monitoring": False,
        "max_file_size": MAX_FILE_BYTES,
        "state_session_capacity": SESSIONS,
        "show_error": False,
        "ssr_mode": False,
        "pwa": False,
        "mcp_server": False,
        "app_kwargs": {"exception_handlers": HANDLERS},
    }


def set_preview() -> None:
    """Replace gradio's link preview (Open Graph) with the page's own title and description."""
    loader = templates.env.loader
    if isinstance(loader, ChoiceLoader) or loader is None:
        return

    def read(name: str) -> str:
        source, _, _ = loader.get_source(templates.env, name)
        return GRADIO_PREVIEW.sub("", source).replace("</head>", f"{PREVIEW}</head>", 1)

    templates.env.loader = ChoiceLoader([FunctionLoader(read)])


def footer() -> str:
    """Return the links at the foot of the page."""
    space = os.environ.get("SPACE_ID")  # set by the Hub
    code = f"https://huggingface.co/spaces/{space}/tree/main" if space else None
    links = [
        f'<a href="{escape(code)}">Code</a>' if code else f"{OPEN_ABOUT}Code</button>",
        f"{OPEN_ABOUT}Model card</button>",
        f'<a href="{DATASET}">Dataset</a>',
        f'<a href="{about.DOI}">Paper</a>',
        '<a href="?view=api">API</a>',
    ]
    return f'<nav class="links" aria-label="Links">{" · ".join(links)}</nav>'


def _build_api(api: Api, inputs: classify.Inputs, compare_target: gr.Dropdown) -> None:
    """Add the public endpoints, as events of an invisible button."""
    hidden = gr.Button(visible=False)
    result = gr.JSON(visible=False, label="Result")
    picture = gr.Image(visible=False, label="Heatmap over the image", format="png")
    image, model = inputs.image, inputs.model
    # For the code on the API page, since gradio's own example is a web address.
    image.example_payload = lambda: EXAMPLE_FILE
    image.example_value = lambda: EXAMPLE_FILE["path"]
    hidden.click(api.classify, [image, model], result, api_name="classify")
    hidden.click(api.explain, list(inputs), [picture, result], api_name="explain")
    hidden.click(api.compare, [image, compare_target], result, api_name="compare")
