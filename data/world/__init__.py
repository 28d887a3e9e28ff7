"""The tiny world: real facts, and documents, prompts, demonstrations and a rubric made of them."""
from data.world.card import DRAWN, SHOWN, examine, report_card
from data.world.documents import bare_questions, documents, recall_prompts
from data.world.prompts import (KINDS, RECIPE, SPLITS, Prompt, demonstrate, draw_prompts,
                                find_prompt, of_kind, prompts, report_prompts, typed)
from data.world.rubric import asks_back, grade
