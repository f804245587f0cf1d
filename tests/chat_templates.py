"""Chat templates in the styles of released models, and odd ones; what each takes, worked out by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from tests.tiny_models import BEGIN, END, START, build_model, build_tokenizer, save_model

_ALTERNATE = (
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
)
_CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MERGED = {"system_role": "merged into the first user turn"}
PARTS = {"message_content": "a list of parts"}
JOINED = {"turns": "joined if they follow each other in one role"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """A template and what rmr1 makes of it."""

    template: str
    tokens: tuple[str, ...] = ()
    """Control tokens beside those of the tiny tokenizer."""
    end: str | None = END
    """What it writes after what the assistant said, if that is one token."""
    asked: str = ""
    """The rendering of system text S! and question Q! to a judge."""
    judging: dict[str, str] = field(default_factory=dict)
    scoring: dict[str, str] = field(default_factory=dict)
    is_dated: bool = False


STYLES = {
    # The five of the shared folder's cases/chat-templates.json.
    "drops_system": Style(
        template=(
            "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}<|im_start|>user\n{{ m['content'] }}"
            "<|im_end|>\n<|im_start|>assistant\n{% elif m['role'] == 'assistant' %}{{ m['content'] }}<|im_end|>\n"
            "{% endif %}{% endfor %}"
        ),
        asked="<s><|im_start|>user\nS!\n\nQ!<|im_end|>\n<|im_start|>assistant\n",
        judging=MERGED,
        scoring=MERGED,
    ),
    "list_content_only": Style(
        template=(
            "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}{% if c['type'] == 'text' %}"
            "{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}"
            "<|im_start|>assistant\n{% endif %}"
        ),
        asked="<|im_start|>system\nS!<|im_end|>\n<|im_start|>user\nQ!<|im_end|>\n<|im_start|>assistant\n",
        judging=PARTS,
        scoring=PARTS,
    ),
    "gemma_no_system": Style(
        template=(
            "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
            "{% endif %}{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] | trim }}<|im_end|>\n"
            "{% endfor %}{% if add_generation_prompt %}<|im_start|>model\n{% endif %}"
        ),
        asked="<s><|im_start|>user\nS!\n\nQ!<|im_end|>\n<|im_start|>model\n",
        judging=MERGED,
        scoring=MERGED,
    ),
    "dated": Style(
        template=(
            "<|im_start|>system\nToday Date: {{ strftime_now('%d %b %Y %H:%M:%S') }}<|im_end|>\n" + _CHATML
        ),
        asked=(
            "<|im_start|>system\nToday Date: 05 Jul 2024 08:09:10<|im_end|>\n<|im_start|>system\nS!<|im_end|>\n"
            "<|im_start|>user\nQ!<|im_end|>\n<|im_start|>assistant\n"
        ),
        is_dated=True,
    ),
    "opens_think": Style(
        template=_CHATML.replace("assistant\n{% endif", "assistant\n<think>\n{% endif"),
        asked=(
            "<|im_start|>system\nS!<|im_end|>\n<|im_start|>user\nQ!<|im_end|>\n<|im_start|>assistant\n<think>\n"
        ),
    ),
    # In the styles of released models.
    "chatml_with_a_default": Style(
        template=(
            "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are helpful.<|im_end|>\n{% endif %}"
            + _CHATML
        ),
        asked="<|im_start|>system\nS!<|im_end|>\n<|im_start|>user\nQ!<|im_end|>\n<|im_start|>assistant\n",
    ),
    "gemma_2": Style(
        template=(
            "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
            "{% endif %}{% for m in messages %}"
            + _ALTERNATE
            + "{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}<start_of_turn>{{ role }}\n"
            "{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}"
            "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
        ),
        tokens=("<start_of_turn>", "<end_of_turn>"),
        end="<end_of_turn>",
        asked="<s><start_of_turn>user\nS!\n\nQ!<end_of_turn>\n<start_of_turn>model\n",
        judging=MERGED,
        scoring={**MERGED, **JOINED},
    ),
    "gemma_3": Style(
        template=(
            "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% if messages[0]['content'] is string %}"
            "{% set prefix = messages[0]['content'] + '\n\n' %}{% else %}"
            "{% set prefix = messages[0]['content'][0]['text'] + '\n\n' %}{% endif %}{% set rest = messages[1:] %}"
            "{% else %}{% set prefix = '' %}{% set rest = messages %}{% endif %}{% for m in rest %}"
            + _ALTERNATE
            + "<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n{{ prefix if loop.first }}"
            "{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}"
            "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
        ),
        tokens=("<start_of_turn>", "<end_of_turn>"),
        end="<end_of_turn>",
        asked="<s><start_of_turn>user\nS!\n\nQ!<end_of_turn>\n<start_of_turn>model\n",
        scoring=JOINED,
    ),
    "mistral_v01": Style(
        template=(
            "{{ bos_token }}{% for m in messages %}"
            + _ALTERNATE
            + "{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}{% elif m['role'] == 'assistant' %}"
            "{{ m['content'] + '</s> ' }}{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}"
            "{% endif %}{% endfor %}"
        ),
        tokens=("</s>",),
        end="</s>",
        asked="<s>[INST] S!\n\nQ! [/INST]",
        judging=MERGED,
        scoring={**MERGED, **JOINED},
    ),
    "mistral_v03": Style(
        template=(
            "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}"
            "{% set loop_messages = messages[1:] %}{% else %}{% set loop_messages = messages %}{% endif %}{{ bos_token }}"
            "{% for m in loop_messages %}"
            + _ALTERNATE
            + "{% if m['role'] == 'user' %}{% if loop.last and system is defined %}"
            "{{ '[INST] ' + system + '\n\n' + m['content'] + '[/INST]' }}{% else %}{{ '[INST] ' + m['content'] + '[/INST]' }}"
            "{% endif %}{% else %}{{ ' ' + m['content'] + '</s>' }}{% endif %}{% endfor %}"
        ),
        tokens=("</s>", "[INST]", "[/INST]"),
        end="</s>",
        asked="<s>[INST] S!\n\nQ![/INST]",
        # With the answer last, it would leave the system text out.
        scoring={**MERGED, **JOINED},
    ),
    "tekken_in_parts": Style(
        template=(
            "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}"
            "{{ '[SYSTEM_PROMPT]' + m['content'][0]['text'] + '[/SYSTEM_PROMPT]' }}{% elif m['role'] == 'user' %}"
            "{{ '[INST]' }}{% for part in m['content'] %}{{ part['text'] }}{% endfor %}{{ '[/INST]' }}{% else %}"
            "{{ m['content'][0]['text'] + '</s>' }}{% endif %}{% endfor %}"
        ),
        tokens=("</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
        end="</s>",
        asked="<s>[SYSTEM_PROMPT]S![/SYSTEM_PROMPT][INST]Q![/INST]",
        judging=PARTS,
        scoring=PARTS,
    ),
    "llama_2": Style(
        template=(
            "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
            "{% set system = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system = false %}"
            "{% endif %}{% for m in loop_messages %}"
            + _ALTERNATE
            + "{% if loop.index0 == 0 and system %}{% set content = '<<SYS>>\n' + system + '\n<</SYS>>\n\n' + m['content'] %}"
            "{% else %}{% set content = m['content'] %}{% endif %}{% if m['role'] == 'user' %}"
            "{{ bos_token + '[INST] ' + content | trim + ' [/INST]' }}{% else %}{{ ' ' + content | trim + ' </s>' }}"
            "{% endif %}{% endfor %}"
        ),
        tokens=("</s>",),
        end="</s>",
        asked="<s>[INST] <<SYS>>\nS!\n<</SYS>>\n\nQ! [/INST]",
        scoring=JOINED,
    ),
    "llama_3": Style(
        template=(
            "{{ bos_token }}{% if not date_string is defined %}{% if strftime_now is defined %}"
            "{% set date_string = strftime_now('%d %b %Y') %}{% else %}{% set date_string = '26 Jul 2024' %}{% endif %}"
            "{% endif %}{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] | trim %}"
            "{% set rest = messages[1:] %}{% else %}{% set system = '' %}{% set rest = messages %}{% endif %}"
            "<|start_header_id|>system<|end_header_id|>\n\nToday Date: {{ date_string }}\n\n{{ system }}<|eot_id|>"
            "{% for m in rest %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
            "{% if m['role'] == 'tool' %}{{ m['content'] | tojson }}{% else %}{{ m['content'] | trim }}{% endif %}"
            "<|eot_id|>{% endfor %}"
            "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
        ),
        tokens=("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        end="<|eot_id|>",
        asked=(
            "<s><|start_header_id|>system<|end_header_id|>\n\nToday Date: 05 Jul 2024\n\nS!<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nQ!<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n"
        ),
        is_dated=True,
    ),
    "phi_3": Style(
        template=(
            "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
            "{% if add_generation_prompt %}<|assistant|>\n{% else %}<|endoftext|>{% endif %}"
        ),
        tokens=("<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>"),
        end="<|end|>",
        asked="<|system|>\nS!<|end|>\n<|user|>\nQ!<|end|>\n<|assistant|>\n",
    ),
    "phi_4": Style(
        template=(
            "{% for m in messages %}<|im_start|>{{ m['role'] }}<|im_sep|>{{ m['content'] }}<|im_end|>{% endfor %}"
            "{% if add_generation_prompt %}<|im_start|>assistant<|im_sep|>{% endif %}"
        ),
        tokens=("<|im_sep|>",),
        asked="<|im_start|>system<|im_sep|>S!<|im_end|><|im_start|>user<|im_sep|>Q!<|im_end|><|im_start|>assistant<|im_sep|>",
    ),
    "deepseek_r1": Style(
        template=(
            "{% set ns = namespace(system='') %}{% for m in messages %}{% if m['role'] == 'system' %}"
            "{% set ns.system = ns.system + m['content'] %}{% endif %}{% endfor %}{{ bos_token }}{{ ns.system }}"
            "{% for m in messages %}{% if m['role'] == 'user' %}{{ '<｜User｜>' + m['content'] }}"
            "{% elif m['role'] == 'assistant' %}"
            "{{ '<｜Assistant｜>' + m['content'].split('</think>')[-1] + '<｜end▁of▁sentence｜>' }}"
            "{% endif %}{% endfor %}{% if add_generation_prompt %}<｜Assistant｜><think>\n{% endif %}"
        ),
        tokens=("<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>"),
        end="<｜end▁of▁sentence｜>",
        asked="<s>S!<｜User｜>Q!<｜Assistant｜><think>\n",
    ),
    "qwen_3": Style(
        template=(
            "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m['role'] == 'user' %}"
            "{% set ns.last = loop.index0 %}{% endif %}{% endfor %}{% for m in messages %}"
            "<|im_start|>{{ m['role'] }}\n{% if m['role'] == 'assistant' and '</think>' in m['content'] %}"
            "{% set thought = m['content'].split('</think>')[0].split('<think>')[-1].strip('\n') %}"
            "{% set said = m['content'].split('</think>')[-1].lstrip('\n') %}"
            "{% if loop.index0 > ns.last %}<think>\n{{ thought }}\n</think>\n\n{% endif %}{{ said }}"
            "{% else %}{{ m['content'] }}{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}"
            "<|im_start|>assistant\n{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
        ),
        asked="<|im_start|>system\nS!<|im_end|>\n<|im_start|>user\nQ!<|im_end|>\n<|im_start|>assistant\n",
    ),
    "command_r": Style(
        template=(
            "{{ bos_token }}{% for m in messages %}<|START_OF_TURN_TOKEN|>"
            "<|{{ {'user': 'USER', 'system': 'SYSTEM', 'assistant': 'CHATBOT'}[m['role']] }}_TOKEN|>"
            "{{ m['content'] }}<|END_OF_TURN_TOKEN|>{% endfor %}"
            "{% if add_generation_prompt %}<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{% endif %}"
        ),
        tokens=(
            "<|START_OF_TURN_TOKEN|>",
            "<|END_OF_TURN_TOKEN|>",
            "<|USER_TOKEN|>",
            "<|SYSTEM_TOKEN|>",
            "<|CHATBOT_TOKEN|>",
        ),
        end="<|END_OF_TURN_TOKEN|>",
        asked=(
            "<s><|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>S!<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>Q!"
            "<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>"
        ),
    ),
    "zephyr": Style(
        template=(
            "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}</s>\n{% endfor %}"
            "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
        ),
        tokens=("</s>",),
        end="</s>",
        asked="<|system|>\nS!</s>\n<|user|>\nQ!</s>\n<|assistant|>\n",
    ),
    "harmony": Style(
        template=(
            "<|start|>system<|message|>Current date: {{ strftime_now('%Y-%m-%d') }}<|end|>{% for m in messages %}"
            "{% if m['role'] == 'system' %}<|start|>developer<|message|># Instructions\n\n{{ m['content'] }}<|end|>"
            "{% elif m['role'] == 'assistant' %}<|start|>assistant<|channel|>final<|message|>{{ m['content'] }}"
            "{% if loop.last and not add_generation_prompt %}<|return|>{% else %}<|end|>{% endif %}{% else %}"
            "<|start|>{{ m['role'] }}<|message|>{{ m['content'] }}<|end|>{% endif %}{% endfor %}"
            "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
        ),
        tokens=("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|return|>"),
        # Not <|end|>, which also ends the thinking.
        end="<|return|>",
        asked=(
            "<|start|>system<|message|>Current date: 2024-07-05<|end|><|start|>developer<|message|># Instructions\n\nS!"
            "<|end|><|start|>user<|message|>Q!<|end|><|start|>assistant"
        ),
        is_dated=True,
    ),
    "glm_4": Style(
        template=(
            "[gMASK]<sop>{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}{% endfor %}"
            "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
        ),
        tokens=("[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>"),
        # Nothing ends a turn: the next one begins.
        end=None,
        asked="[gMASK]<sop><|system|>\nS!<|user|>\nQ!<|assistant|>\n",
    ),
    # Odd ones.
    "end_only_between_turns": Style(
        template=(
            "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}"
            "{% if not loop.last or add_generation_prompt %}<|im_end|>\n{% endif %}{% endfor %}"
            "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
        ),
        asked="<|im_start|>system\nS!<|im_end|>\n<|im_start|>user\nQ!<|im_end|>\n<|im_start|>assistant\n",
    ),
    "always_invites": Style(
        template=(
            "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
            "{{ '<|im_start|>assistant\n' }}"
        ),
        asked="<|im_start|>system\nS!<|im_end|>\n<|im_start|>user\nQ!<|im_end|>\n<|im_start|>assistant\n",
    ),
    "always_invites_and_ends_nothing": Style(
        template="{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}\n{% endfor %}{{ '<|im_start|>assistant\n' }}",
        end=None,
        asked="<|im_start|>system\nS!\n<|im_start|>user\nQ!\n<|im_start|>assistant\n",
    ),
    "plain_words": Style(
        template=(
            "{% for m in messages %}{{ m['role'] | upper }}: {{ m['content'] }}\n{% endfor %}"
            "{% if add_generation_prompt %}ASSISTANT: {% endif %}"
        ),
        end=None,
        asked="SYSTEM: S!\nUSER: Q!\nASSISTANT: ",
    ),
    "plain_words_and_an_end": Style(
        template=(
            "{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] + ' ' }}{% endif %}{% for m in messages %}"
            "{% if m['role'] == 'user' %}{{ 'USER: ' + m['content'] + ' ' }}{% elif m['role'] == 'assistant' %}"
            "{{ 'ASSISTANT: ' + m['content'] + '</s>' }}{% endif %}{% endfor %}"
            "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
        ),
        tokens=("</s>",),
        end="</s>",
        asked="S! USER: Q! ASSISTANT:",
    ),
    "parts_but_a_system_of_text": Style(
        template=(
            "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['role'] == 'system' %}{{ m['content'] }}"
            "{% else %}{% for c in m['content'] if c['type'] == 'text' %}{{ c['text'] }}{% endfor %}{% endif %}"
            "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
        ),
        asked="<|im_start|>user\nS!\n\nQ!<|im_end|>\n<|im_start|>assistant\n",
        judging={**MERGED, **PARTS},
        scoring={**MERGED, **PARTS},
    ),
    "last_turn_only": Style(
        template="<|im_start|>user\n{{ messages[-1]['content'] }}{{ '<|im_end|>\n<|im_start|>assistant\n' }}",
        end=None,
        asked="<|im_start|>user\nS!\n\nQ!<|im_end|>\n<|im_start|>assistant\n",
        judging=MERGED,
    ),
}
"""`last_turn_only` cannot score, where the question would be missing, and never shows how an answer ends."""

REFUSED = {
    "no_question": (
        "<|im_start|>system\n{{ messages[0]['content'] if messages[0]['role'] == 'system' }}<|im_end|>\n",
        "it leaves out the user's text or changes it",
    ),
    "upper_case": (
        _CHATML.replace("m['content']", "m['content'] | upper"),
        "it leaves out the user's text or changes it",
    ),
    "escaped": (
        _CHATML.replace("m['content']", "m['content'] | e"),
        "it leaves out the user's text or changes it",
    ),
    "cut": (
        _CHATML.replace("m['content']", "m['content'][:200]"),
        "it leaves out the user's text or changes it",
    ),
    "python": ("{{ messages }}", "it leaves out the user's text or changes it"),
    "always_raises": (
        "{{ raise_exception('tools are required') }}",
        "it refuses these messages: tools are required",
    ),
    "broken": ("{% for m in messages %}", "it refuses these messages: Unexpected end of template"),
    "silent": ("{% if false %}x{% endif %}", "it gives no text for these messages"),
    "by_chance": (
        _CHATML + "{{ range(100000) | random }} {{ range(100000) | random }}",
        "writes another text each time for the same messages",
    ),
}
"""Template -> why it cannot be used."""


def build_styled(style: Style | str, **options: object) -> PreTrainedTokenizerFast:
    """The tiny tokenizer with a style's control tokens and template; of a template alone only that."""
    tokenizer = build_tokenizer(**options)  # type: ignore[arg-type]
    if isinstance(style, str):
        tokenizer.chat_template = style
        return tokenizer
    tokenizer.add_special_tokens({"additional_special_tokens": [START, END, *style.tokens]})
    tokenizer.chat_template = style.template
    return tokenizer


def save_styled(folder: Path, style: Style | str) -> Path:
    """A model folder with that template, whose model and tokenizer name no end of a turn."""
    tokenizer = build_styled(style)
    tokenizer.eos_token = BEGIN
    tokenizer.model_max_length = 4096
    model = build_model(vocab_size=len(tokenizer), max_position_embeddings=4096)
    return save_model(folder, model, tokenizer)
