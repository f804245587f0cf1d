"""Judge prompts: families as text files, one renderer, and its inverse."""

from rmr1.prompts.blocks import Blocks, parse_blocks
from rmr1.prompts.escape import escape, unescape
from rmr1.prompts.families import PromptFamily, is_named_family, list_families, load_family, locate_family
from rmr1.prompts.render import is_single_turn, parse_transcript, render_prompt, render_transcript

__all__ = [
    "Blocks",
    "PromptFamily",
    "escape",
    "is_named_family",
    "is_single_turn",
    "list_families",
    "load_family",
    "locate_family",
    "parse_blocks",
    "parse_transcript",
    "render_prompt",
    "render_transcript",
    "unescape",
]
