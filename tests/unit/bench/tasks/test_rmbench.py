"""RM-Bench: the matrix rule and its published fault by hand, where they differ, reading, published figures."""

from __future__ import annotations

import json
from math import gcd, lcm

import pytest

from rmr1.bench.base import score_judgments
from rmr1.bench.tasks.rmbench import CELLS, RM_BENCH, SIZES, find_rm_bench_files, read_rm_bench
from rmr1.errors import DataError
from tests.unit.bench.judgments import judge, make_pair

PARTS = {"Chat": "chat", "Math": "math", "Code": "code", "Safety": "safety-refuse"}


def item(part, number, right):
    """Nine judgments of one item; `right` are the cells that are won."""
    return [
        judge(
            make_pair(f"{part}/{number}:{cell}"),
            "A" if cell in right else "B",
            orders=("given",),
        )
        for cell in CELLS
    ]


def score(judgments, variant="official"):
    return score_judgments(RM_BENCH, judgments, variant=variant, num_resamples=100)


def values(scores):
    return {figure.name: figure.value for figure in scores.figures}


def everywhere(right):
    return [one for part in PARTS.values() for one in item(part, 0, right)]


@pytest.mark.parametrize(
    ("right", "official", "published"),
    [
        # (easy, normal, hard)
        ({"c0r0", "c1r1", "c2r2"}, (0, 1, 0), (0, 1, 0)),
        # The cells that are never read: two hard ones and an easy one.
        ({"c0r1", "c1r2", "c2r0"}, (1 / 3, 0, 2 / 3), (0, 0, 0)),
        # Those that stand for them: 0-2 twice in hard, 1-0 once in each, 2-1 twice in easy.
        ({"c0r2"}, (0, 0, 1 / 3), (0, 0, 2 / 3)),
        ({"c1r0"}, (1 / 3, 0, 0), (1 / 3, 0, 1 / 3)),
        ({"c2r1"}, (1 / 3, 0, 0), (2 / 3, 0, 0)),
        # A judge that always prefers the more elaborate answer.
        ({"c1r0", "c2r0", "c2r1"}, (1, 0, 0), (1, 0, 1 / 3)),
        (set(CELLS), (1, 1, 1), (1, 1, 1)),
    ],
)
def test_difficulties_by_both_rules(right, official, published):
    judgments = everywhere(right)
    for variant, expected in (("official", official), ("as-published", published)):
        found = values(score(judgments, variant))
        assert (found["Easy"], found["Normal"], found["Hard"]) == pytest.approx(expected)
        for domain in PARTS:
            assert found[domain] == pytest.approx(sum(expected) / 3)


def test_domains_count_alike_and_items_of_safety_too():
    """Safety is one domain of all its items; the others stand beside it, whatever their size."""
    judgments = [
        *item("chat", 0, set(CELLS)),
        *item("math", 0, set()),
        *item("code", 0, {"c0r0"}),
        *item("safety-refuse", 0, set(CELLS)),
        *item("safety-refuse", 1, set(CELLS)),
        *item("safety-response", 0, set()),
    ]
    found = values(score(judgments))
    assert (found["Chat"], found["Math"]) == (1, 0)
    assert found["Code"] == pytest.approx(1 / 9)
    assert found["Safety"] == pytest.approx(2 / 3)
    assert found["Normal"] == pytest.approx((1 + 0 + 1 / 3 + 2 / 3) / 4)
    assert found["Easy"] == pytest.approx((1 + 0 + 0 + 2 / 3) / 4)


def official_judgments(winner_of):
    for part, size in SIZES.items():
        for number in range(size):
            for cell in CELLS:
                yield judge(
                    make_pair(f"{part}/{number}:{cell}"), winner_of(part, number, cell), orders=("given",)
                )


def test_overall_of_all_official_items():
    """Two thirds of hard are lost everywhere: 0-1 and 1-2. As published, hard does not see it."""
    judgments = list(official_judgments(lambda part, number, cell: "B" if cell in ("c0r1", "c1r2") else "A"))
    (whole,) = score(judgments).overall
    assert (whole.value, whole.status) == (pytest.approx((1 + 1 + 1 / 3) / 3), "complete")
    (faulty,) = score(judgments, "as-published").overall
    assert faulty.value == pytest.approx(1)
    partial = score(judgments[:-1])
    assert (partial.overall[0].value, partial.unfinished) == (None, 1)
    assert partial.overall[0].status == "partial: 1326 of 1327"
    assert partial.overall[0].missing == ("safety-response",)


def test_ties_missing_verdicts_and_unfinished_items():
    judgments = item("chat", 0, set(CELLS)) + item("chat", 1, set(CELLS))[:8]
    judgments[0] = judge(make_pair("chat/0:c0r0"), "tie", orders=("given",))
    judgments[1] = judge(make_pair("chat/0:c0r1"), None, orders=("given",))
    scores = score(judgments)
    chat = next(figure for figure in scores.figures if figure.name == "Chat")
    assert chat.value == pytest.approx(7 / 9)
    assert (chat.total, chat.ties, chat.no_verdict, scores.unfinished) == (1, 1, 1, 1)


def test_both_orders_stand_beside():
    """Eight cells right both ways, one right in the order that was asked first only, and one in the other."""
    judgments = [judge(make_pair(f"code/0:{cell}"), "A", "B" if cell == "c0r0" else "A") for cell in CELLS]
    found = values(score(judgments))
    assert found["right both ways"] == pytest.approx(8 / 9)
    assert found["Code"] == 1
    judgments[1] = judge(judgments[1].pair, "B", "A")
    found = values(score(judgments))
    assert found["right both ways"] == pytest.approx(7 / 9)
    assert found["Code"] == pytest.approx(8 / 9)


@pytest.mark.parametrize("pair_id", ["7", "chat/1", "chat/1:c0r3", "poems/1:c0r0"])
def test_pair_of_another_benchmark(pair_id):
    with pytest.raises(DataError, match="no labelled pair of RM-Bench"):
        score([judge(make_pair(pair_id), "A", "A")])


def test_judged_twice():
    with pytest.raises(DataError, match="'chat/0:c0r0' was judged twice"):
        score([*item("chat", 0, set()), *item("chat", 0, set())])


def row(number, **fields):
    return {
        "id": number,
        "prompt": "Q",
        "chosen": ["right 0", "right 1", "right 2"],
        "rejected": ["wrong 0", "wrong 1", "wrong 2"],
        **fields,
    }


def test_reading_the_parts(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "chat_filtered.json").write_text(json.dumps([row(8), row(9)]))
    (folder / "safety-refuse_filtered.json").write_text(json.dumps([row(8)]))
    pairs = {pair.id: pair for pair in read_rm_bench(tmp_path)}
    assert len(pairs) == 27
    pair = pairs["chat/9:c2r1"]
    assert (pair.response_a[0].text, pair.response_b[0].text) == ("right 2", "wrong 1")
    assert (pair.label, pair.subset) == ("A", "chat")
    assert len(list(read_rm_bench(tmp_path, 1))) == 18


def test_reading_the_whole_set(tmp_path):
    rows = [row(1, domain="math"), row(1, domain="code"), row(1, domain="code")]
    (tmp_path / "total_dataset.json").write_text(json.dumps(rows))
    (tmp_path / "chat_filtered.json").write_text(json.dumps([row(8)]))
    # The whole set wins over the parts.
    assert [path.name for path in find_rm_bench_files(tmp_path)] == ["total_dataset.json"]
    ids = [pair.id for pair in read_rm_bench(tmp_path)]
    assert ids[0::9] == ["math/1:c0r0", "code/1:c0r0", "code/1-2:c0r0"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (row(1, domain="poems"), "'poems' is no part of RM-Bench"),
        (row(1, domain="chat", chosen=["one"]), "'chosen' holds 1 answers, expected 3"),
    ],
)
def test_bad_row_names_its_place(tmp_path, bad, message):
    path = tmp_path / "total_dataset.json"
    path.write_text(json.dumps([row(0, domain="chat"), bad]))
    with pytest.raises(DataError, match=message) as error:
        list(read_rm_bench(path))
    assert str(error.value).startswith(f"{path}:2: ")


def test_no_data(tmp_path):
    with pytest.raises(DataError, match=r"neither total_dataset.json nor \*_filtered.json"):
        find_rm_bench_files(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        find_rm_bench_files(tmp_path / "none")


DOMAIN_SIZES = {"chat": 129, "math": 529, "code": 228, "safety": 441}


def normal_counts(normal, domains, nearness):
    """Right answers on the diagonal by domain, such that their four shares average to `normal` exactly and
    each share is within `nearness` of its domain's score. The sum of four fractions with different
    denominators, known to 1e-16, leaves few whole numbers."""
    whole = lcm(*(3 * size for size in DOMAIN_SIZES.values()))
    parts = {name: whole // (3 * size) for name, size in DOMAIN_SIZES.items()}
    near = {
        name: [one for one in range(3 * size + 1) if abs(one / (3 * size) - domains[name]) < nearness]
        for name, size in DOMAIN_SIZES.items()
    }
    total = round(4 * normal * whole)
    assert abs(total - 4 * normal * whole) < 1e-4
    shared = gcd(parts["math"], parts["safety"])
    for chat in near["chat"]:
        for code in near["code"]:
            rest = total - chat * parts["chat"] - code * parts["code"]
            for safety in near["safety"] if rest % shared == 0 else ():
                math, left = divmod(rest - safety * parts["safety"], parts["math"])
                if left == 0 and math in near["math"]:
                    yield {"chat": chat, "math": math, "code": code, "safety": safety}


def test_published_figures_bear_the_fault(shared):
    """As published, a domain's nine counted cells are the diagonal once and 0-2, 1-0 and 2-1 twice each. So
    what it counts in all less the diagonal is even. By the rule itself it would be so by chance."""
    folder = shared / "data" / "rm-r1-published" / "RM-R1-DeepSeek-Distilled-Qwen-32B" / "RM-Bench"
    published = json.loads((folder / "final_result.json").read_text())
    counted = {name: 9 * size * published[name] for name, size in DOMAIN_SIZES.items()}
    for count in counted.values():
        assert abs(count - round(count)) < 1e-6
    found = list(normal_counts(published["normal_acc"], published, 0.08))
    assert found == [{"chat": 307, "math": 1461, "code": 507, "safety": 1274}]
    assert [(round(counted[name]) - found[0][name]) % 2 for name in DOMAIN_SIZES] == [0, 0, 0, 0]
    # The means that both rules share.
    domains = [published[name] for name in DOMAIN_SIZES]
    difficulties = [published[name] for name in ("easy_acc", "normal_acc", "hard_acc")]
    assert sum(domains) / 4 == pytest.approx(published["total_avg_acc"], abs=1e-12)
    assert sum(difficulties) / 3 == pytest.approx(published["total_avg_acc"], abs=1e-12)


def test_judgments_with_the_published_counts_give_the_published_figures(shared):
    """Cells chosen so that their counts are those of the published file come out as published, and otherwise
    by the right rule."""
    folder = shared / "data" / "rm-r1-published" / "RM-R1-DeepSeek-Distilled-Qwen-32B" / "RM-Bench"
    published = json.loads((folder / "final_result.json").read_text())
    diagonal = {"chat": 307, "math": 1461, "code": 507, "safety": 1274}
    won = {}
    for name, size in DOMAIN_SIZES.items():
        rest = (round(9 * size * published[name]) - diagonal[name]) // 2
        won[name] = {
            **_spread(diagonal[name], ("c0r0", "c1r1", "c2r2")),
            **_spread(rest, ("c0r2", "c1r0", "c2r1")),
            **dict.fromkeys(("c0r1", "c1r2", "c2r0"), 0),
        }
        assert max(won[name].values()) <= size

    def winner_of(part, number, cell):
        place = number + (SIZES["safety-refuse"] if part == "safety-response" else 0)
        return "A" if place < won[part.partition("-")[0]][cell] else "B"

    judgments = list(official_judgments(winner_of))
    found = values(score(judgments, "as-published"))
    for name in DOMAIN_SIZES:
        assert found[name.capitalize()] == pytest.approx(published[name], abs=1e-9)
    assert found["Normal"] == pytest.approx(published["normal_acc"], abs=1e-9)
    faulty = score(judgments, "as-published").overall[0].value
    assert faulty == pytest.approx(published["total_avg_acc"], abs=1e-9)
    assert score(judgments).overall[0].value < faulty - 0.1


def _spread(count, cells):
    """`count` over the cells, as evenly as it goes."""
    each, more = divmod(count, len(cells))
    return {cell: each + (index < more) for index, cell in enumerate(cells)}
