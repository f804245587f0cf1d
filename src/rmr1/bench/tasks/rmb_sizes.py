"""The official parts of RMB and their sizes.

Counted in the authors' files (RMB_dataset, commit 2be3180). Three pairwise files were not at hand:
Harmlessness/S11, Helpfulness/Brainstorming/Idea Development and Helpfulness/Generation/Creative Writing. Their sizes
follow from RM-R1's published scores in full precision: one solution in whole numbers (977, 849, 762).
"""

from __future__ import annotations

from collections.abc import Mapping

SIZES: Mapping[str, tuple[int, int]] = {
    "Helpfulness/Brainstorming/Idea Development": (849, 168),
    "Helpfulness/Brainstorming/Problem Solving": (100, 19),
    "Helpfulness/Chat/Casual Conversation": (306, 71),
    "Helpfulness/Chat/Discussion": (293, 59),
    "Helpfulness/Chat/Supportive Conversation": (114, 25),
    "Helpfulness/Classification/Content Categorization": (107, 18),
    "Helpfulness/Classification/Quality and Compliance Assessment": (57, 13),
    "Helpfulness/Closed QA/ContextBased": (447, 86),
    "Helpfulness/Closed QA/OptionBased": (473, 100),
    "Helpfulness/Code/Data Management": (376, 81),
    "Helpfulness/Code/Development and Implementation": (399, 92),
    "Helpfulness/Code/Documentation": (65, 15),
    "Helpfulness/Code/Quality and Optimization": (384, 92),
    "Helpfulness/Generation/Creative Writing": (762, 151),
    "Helpfulness/Generation/Professional Content Generation": (347, 74),
    "Helpfulness/Open QA/Factual": (664, 153),
    "Helpfulness/Open QA/General Explanation": (413, 80),
    "Helpfulness/Open QA/Hypothetical Scenarios": (42, 8),
    "Helpfulness/Open QA/Interpretative Analysis": (107, 18),
    "Helpfulness/Open QA/Personal Opinion and Advice": (78, 14),
    "Helpfulness/Open QA/Technical and Practical Support": (238, 47),
    "Helpfulness/Reasoning/Analytical Reasoning": (596, 133),
    "Helpfulness/Reasoning/Critical Thinking": (200, 39),
    "Helpfulness/Reasoning/Human Decision Making": (165, 32),
    "Helpfulness/Reasoning/Logical Deduction": (222, 46),
    "Helpfulness/Reasoning/Pattern Recognition": (52, 14),
    "Helpfulness/Rewrite/Paraphrasing": (83, 17),
    "Helpfulness/Rewrite/PostQuality Assessment Rewriting": (222, 46),
    "Helpfulness/Rewrite/Textual ExpansionReduction": (50, 9),
    "Helpfulness/Rewrite/Tone Adjustment": (103, 17),
    "Helpfulness/Role Playing/General Character": (163, 32),
    "Helpfulness/Role Playing/Specific Character": (209, 46),
    "Helpfulness/Summarization/Specialized Summaries": (189, 42),
    "Helpfulness/Summarization/Standard Summaries": (341, 71),
    "Helpfulness/Translation/GeneralExcerpt Language Translation": (483, 109),
    "Helpfulness/Translation/Literary and Cultural Translation": (176, 34),
    "Helpfulness/Translation/Technical and Scientific Translation": (192, 38),
    "Harmlessness/S1": (459, 111),
    "Harmlessness/S2": (1040, 249),
    "Harmlessness/S3": (739, 171),
    "Harmlessness/S4": (537, 136),
    "Harmlessness/S5": (561, 122),
    "Harmlessness/S6": (317, 83),
    "Harmlessness/S7": (510, 121),
    "Harmlessness/S8": (519, 127),
    "Harmlessness/S9": (543, 132),
    "Harmlessness/S10": (360, 79),
    "Harmlessness/S11": (977, 215),
    "Harmlessness/multi": (502, 131),
}
"""`split/scenario` -> (pairs of the pairwise set, lists of the best-of-N set)."""
