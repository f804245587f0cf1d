"""Two teachers for the synthetic world behind a chat-completions server: one that errs, and one that is told the verdict.

    .venv/bin/python benchmarks/distill_teachers.py --port 8765 --items 10000

Model `fallible` judges as `rmr1.world.teacher.fallible_trace` does: about three verdicts of four are right. Model `told`
reads the verdict that the prompt's note gives and writes the ideal judgment. Both are flawed as real ones are, each
in the share of its answers that the options say: texts that drift from the form, refusals, empty texts, invented
quotations, and of `told` also texts that stick to the wrong verdict or give away that it was told. Of the HTTP requests some are
answered with 429 or 500 the first time. What happens to an item is decided by its hash alone, so a server that is
started anew does the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from rmr1.prompts import render_prompt
from rmr1.records import Order
from rmr1.world import fallible_trace, oracle_trace, sample_pair

ORDERS: tuple[Order, ...] = ("given", "swapped")
NOTE = "\n\n[Note to the judge]"
TOLD = re.compile(r"The right verdict is \[\[([AB])\]\]")
CONFESSION = "As stated, the correct verdict is [[{verdict}]], so my earlier judgment was wrong."
CHARS_PER_TOKEN = 4
FLAWS = {
    "fallible": {"drift": 0.02, "refusal": 0.01, "empty": 0.005, "invented": 0.02},
    "told": {
        "drift": 0.02,
        "refusal": 0.01,
        "empty": 0.005,
        "invented": 0.02,
        "stubborn": 0.05,
        "confession": 0.08,
    },
}
"""Share of answers that have each."""
FAULTS = {"429": 0.01, "500": 0.01}
"""Share of first tries that meet each."""


def draw(*parts: object) -> float:
    """A number in [0, 1) that depends on nothing but the parts."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def choose(shares: dict[str, float], number: float) -> str | None:
    for name, share in shares.items():
        if number < share:
            return name
        number -= share
    return None


class WorldTeachers:
    """Knows the items of a world and answers prompts about them."""

    def __init__(self, *, items: int, seed: int = 0, distribution: str = "biased", start: int = 0):
        self._seed = seed
        self._distribution = distribution
        self._places: dict[bytes, tuple[int, Order]] = {}
        for index in range(start, start + items):
            item = self._draw(index)
            for order in ORDERS:
                text = render_prompt(item.pair, "rubric", order=order).messages[-1].text
                self._places[_digest(text)] = index, order

    def answer(self, model: str, content: str, sample: int = 0) -> str:
        """The judgment of `fallible` or `told` about the pair in a user message."""
        plain, _, note = content.partition(NOTE)
        index, order = self._places[_digest(plain)]
        item = self._draw(index)
        flaw = choose(FLAWS[model], draw(model, index, order, sample))
        if flaw == "refusal":
            return "I am sorry, but I cannot compare these two responses."
        if flaw == "empty":
            return ""
        if model == "fallible":
            text = fallible_trace(item, self._seed + sample, order).text
        else:
            told = TOLD.search(note)
            verdict = told[1] if told else "A"
            text = oracle_trace(item, order)
            if flaw == "stubborn":
                other = "B" if verdict == "A" else "A"
                text = text.replace(f"<answer>[[{verdict}]]", f"<answer>[[{other}]]")
            elif flaw == "confession":
                text = text.replace("</eval>", CONFESSION.format(verdict=verdict) + "\n</eval>")
        if flaw == "drift":
            text = text.replace("<eval>", "Evaluation:").replace("</eval>", "")
        elif flaw == "invented":
            text = re.sub(
                r"<quote_(.)>[^<]*</quote_.>", r"<quote_\1>words that nobody wrote</quote_\1>", text
            )
        return text

    def _draw(self, index: int) -> Any:
        return sample_pair(self._seed, index, split="train", distribution=self._distribution)  # type: ignore[arg-type]


class TeacherServer:
    """The server; `asked` counts requests that were answered with a text, by model and content."""

    def __init__(self, teachers: WorldTeachers, *, port: int = 0, delay_seconds: float = 0.0):
        self.asked: Counter[tuple[str, bytes]] = Counter()
        self._seen: set[bytes] = set()
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                self.respond(200, {"object": "list", "data": [{"id": name} for name in FLAWS]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                self.respond(*outer.decide(teachers, body, delay_seconds))

            def respond(self, status: int, values: dict[str, Any]) -> None:
                content = json.dumps(values).encode()
                self.send_response(status)
                if status == 429:
                    self.send_header("retry-after", "0.05")
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 256
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # clients that are killed hang up

        self._server = Server(("127.0.0.1", port), Handler)
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def decide(
        self, teachers: WorldTeachers, body: dict[str, Any], delay: float
    ) -> tuple[int, dict[str, Any]]:
        model, content = body["model"], body["messages"][-1]["content"]
        digest = _digest(f"{model}/{content}")
        with self._lock:
            is_first = digest not in self._seen
            self._seen.add(digest)
        fault = choose(FAULTS, draw("fault", digest.hex())) if is_first else None
        if fault is not None:
            return int(fault), {"error": {"message": "try again"}}
        if delay:
            threading.Event().wait(delay)
        texts = [teachers.answer(model, content, sample) for sample in range(body.get("n", 1))]
        with self._lock:
            self.asked[model, _digest(content)] += 1
        prompt = sum(len(message["content"]) for message in body["messages"]) // CHARS_PER_TOKEN
        usage = {"prompt_tokens": prompt, "completion_tokens": sum(map(len, texts)) // CHARS_PER_TOKEN}
        choices = [
            {"index": index, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            for index, text in enumerate(texts)
        ]
        return 200, {
            "id": "x",
            "object": "chat.completion",
            "model": model,
            "choices": choices,
            "usage": usage,
        }

    def __enter__(self) -> TeacherServer:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def serve(self) -> None:
        self._server.serve_forever()


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    server = TeacherServer(WorldTeachers(items=arguments.items, seed=arguments.seed), port=arguments.port)
    print(server.base_url, flush=True)
    server.serve()


if __name__ == "__main__":
    main()
